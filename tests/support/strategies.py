"""Hypothesis strategies that several test modules share."""

from typing import Any

from hypothesis import strategies as st


def json_values(
    *,
    min_integer: int | None = None,
    max_integer: int | None = None,
    allow_nan: bool = False,
    allow_infinity: bool = True,
) -> st.SearchStrategy[Any]:
    """Return a strategy for any JSON value; without NaN by default, since it is not equal to itself."""
    integers = st.integers(min_integer, max_integer)
    floats = st.floats(allow_nan=allow_nan, allow_infinity=allow_infinity)
    return st.recursive(
        st.none() | st.booleans() | integers | floats | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=10,
    )


JSON = json_values()
STRICT_JSON = json_values(allow_infinity=False)
"""What the JSON standard can express."""
