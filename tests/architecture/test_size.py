"""Checks that functions and modules stay short."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import PRODUCT

# Lines, from `def` to the last one.
MAX_FUNCTION = 40
MAX_MEDIAN_FUNCTION = 6
MAX_P90_FUNCTION = 18
MAX_MODULE = 250

MODULES = sorted(PRODUCT.rglob("*.py"))


def function_lengths() -> Iterator[tuple[int, str]]:
    """Yield length in lines and place of every function of the product."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                place = f"{path.relative_to(PRODUCT)}:{node.lineno} {node.name}"
                yield node.end_lineno - node.lineno + 1, place


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_function_is_long() -> None:
    assert [(length, place) for length, place in function_lengths() if length > MAX_FUNCTION] == []


def test_most_functions_are_short() -> None:
    lengths = [length for length, _ in function_lengths()]

    assert statistics.median(lengths) <= MAX_MEDIAN_FUNCTION
    assert statistics.quantiles(lengths, n=10)[-1] <= MAX_P90_FUNCTION


def test_no_module_is_long() -> None:
    assert {path.name: lines(path) for path in MODULES if lines(path) > MAX_MODULE} == {}
