import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.log_formats import severity


@pytest.mark.parametrize(
    ("level", "number"),
    [
        ("TRACE", 1),
        ("trce", 1),
        ("ALL", 1),
        ("Trace", 1),
        ("DEBUG", 5),
        ("dbug", 5),
        ("Debug", 5),
        ("INFO", 9),
        ("info", 9),
        ("Information", 9),
        ("WARN", 13),
        ("WARNING", 13),
        ("warn", 13),
        ("ERROR", 17),
        ("fail", 17),
        (" error ", 17),
        ("FATAL", 21),
        ("CRITICAL", 21),
        ("crit", 21),
        ("notice", 10),
        ("alert", 19),
        ("emerg", 21),
        ("FINEST", 1),
        ("FINER", 5),
        ("FINE", 6),
        ("CONFIG", 7),
        ("SEVERE", 17),
        ("dpanic", 18),
        ("panic", 19),
        ("Verbose", 1),
        ("verbose", 6),
        ("http", 7),
        ("silly", 1),
        ("INFO+2", 11),
        ("DEBUG-4", 1),
        ("DEBUG-9", 1),
        ("ERROR+4", 21),
        ("ERROR+99", 24),
        ("30", 9),
        ("anything", 0),
        ("", 0),
        ("99", 0),
        ("300", 13),
        ("1000", 0),
        ("\x1b[31mERROR\x1b[39m", 17),
        ("[error    ]", 17),
        ("<WARN>", 13),
        ("e" * 65, 0),
        ("ERRO", 17),
        ("SUCCESS", 10),
    ],
)
def test_severity_from_name(level: str, number: int) -> None:
    assert severity.from_name(level) == number


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (10, 1),
        (20, 5),
        (30, 9),
        (35, 12),
        (40, 13),
        (50, 17),
        (60, 21),
        (61, 22),
        (100, 5),
        (400, 17),
        (600, 21),
        (40_000, 17),
        (0, 0),
        (9, 0),
        (70, 0),
        (-10, 0),
    ],
)
def test_severity_from_number(level: int, number: int) -> None:
    assert severity.from_number(level) == number


@pytest.mark.parametrize(
    ("level", "number"),
    [(10, 5), (20, 9), (25, 12), (30, 13), (40, 17), (50, 21), (53, 24), (60, 24), (9, 0), (0, 0), (-1, 0)],
)
def test_severity_from_python_number(level: int, number: int) -> None:
    assert severity.from_python(level) == number


@given(st.text(), st.integers())
def test_any_level_yields_a_valid_severity_number(level: str, number: int) -> None:
    assert severity.from_name(level) in range(25)
    assert severity.from_number(number) in range(25)
    assert severity.from_python(number) in range(25)
    assert severity.from_syslog(number) in range(25)


def test_syslog_counts_downwards() -> None:
    assert list(map(severity.from_syslog, range(-1, 9))) == [0, 21, 19, 21, 17, 13, 10, 9, 5, 0]
