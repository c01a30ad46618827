"""Keeps attribute keys unique and not empty: a user's key that the extension uses itself gets another name. Pure.

https://opentelemetry.io/docs/specs/otel/common/#attribute
"""

from collections.abc import Iterable, Mapping
from typing import Any

REQUEST_ID = "faas.invocation_id"
TENANT_ID = "lambda.tenant_id"
EXECUTION_NAME = "lambda.durable.execution_name"
EXECUTION_ID = "lambda.durable.execution_id"

_OURS = frozenset({REQUEST_ID, TENANT_ID})
# All other names of the extension begin like this, or replace the user's key of the same meaning (`exception.*`).
_NAMESPACE = "lambda."
RENAMED = "lambda.line."
"""Begins the name of a user's key that the extension uses itself, and of what we keep of a line besides its message."""
_EMPTY_KEY = "empty_key"


def name_keys(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the attribute names for a user's *keys*, which differ: the keys themselves wherever possible."""
    keys = tuple(keys)
    if all(map(_is_free, keys)):
        return keys
    taken = {key for key in keys if _is_free(key)}
    names = []
    for key in keys:
        name = key if _is_free(key) else _unused(_valid(key), taken)
        taken.add(name)
        names.append(name)
    return tuple(names)


def name_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return *attributes* with a user's keys under their attribute names."""
    names = name_keys(attributes)
    return dict(zip(names, attributes.values(), strict=True))


def add(attributes: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return *attributes* with a user's *key*, which is renamed if it is taken or used by the extension."""
    name = key if key not in attributes and _is_free(key) else _unused(_valid(key), attributes)
    return {**attributes, name: value}


def override(attributes: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return *attributes* and *ours*; an attribute of the same name but another value is kept under another name."""
    result = {**attributes, **ours}
    for key in ours.keys() & attributes.keys():
        if attributes[key] is not ours[key] and attributes[key] != ours[key]:
            result[_unused(key, result)] = attributes[key]
    return result


def _is_free(key: str) -> bool:
    return key != "" and key not in _OURS and not key.startswith(_NAMESPACE) and (key.isascii() or key == _valid(key))


def _valid(key: str) -> str:
    """Return *key* as it is encoded: a lone surrogate is escaped, so it could be equal to another key."""
    return key if key.isascii() else key.encode("utf-8", "backslashreplace").decode()


def _unused(key: str, taken: Iterable[str]) -> str:
    name = RENAMED + (key.removeprefix(RENAMED) or _EMPTY_KEY)
    while name in taken:
        name += "_"
    return name
