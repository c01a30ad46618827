from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.settings import PREFIX, SETTINGS, Setting, Settings, names, not_valid, reject

GIB = 1_073_741_824
EVENTS = (
    "initStart, initRuntimeDone, initReport, start, runtimeDone, report, restoreStart,"
    " restoreRuntimeDone, restoreReport, extension, telemetrySubscription, logsDropped"
)

# Name of the variable, attribute, default, limits.
NUMBERS = [
    ("BUFFER_MAX_ITEMS", "buffer_max_items", 10_000, 1_000, 10_000),
    ("BUFFER_MAX_BYTES", "buffer_max_bytes", 1_048_576, 262_144, 1_048_576),
    ("BUFFER_TIMEOUT_MS", "buffer_timeout_ms", 25, 25, 30_000),
    ("FLUSH_BUDGET_MS", "flush_budget_ms", 500, 0, 60_000),
    ("INBOX_BYTES", "inbox_bytes", 16_777_216, 4_194_304, GIB),
    ("OUTBOX_BYTES", "outbox_bytes", 16_777_216, 65_536, GIB),
    ("BATCH_BYTES", "batch_bytes", 4_194_304, 16_384, 67_108_864),
    ("BATCH_ITEMS", "batch_items", 10_000, 1, 1_000_000),
    ("SPOOL_BYTES", "spool_bytes", 67_108_864, 0, 10 * GIB),
]
# Name of the variable, attribute, default, choices.
CHOICES = [
    ("LISTENER", "listener", "http", ("http", "tcp")),
    ("WARM_UP", "warm_up", "auto", ("auto", "init", "background")),
    ("TRACE_PARENT", "trace_parent", "link", ("link", "parent", "none")),
    ("SPAN_START", "span_start", "invocation", ("invocation", "init")),
    ("SAMPLING", "sampling", "all", ("all", "xray")),
    ("LOG_LEVEL", "log_level", "info", ("debug", "info", "warn", "error", "none")),
]
LISTS = [
    ("TYPES", "types", ("platform", "function", "extension")),
    ("SIGNALS", "signals", ("logs", "spans", "metrics")),
]
DEFAULTS: dict[str, Any] = {
    **{attribute: default for _, attribute, default, *_ in NUMBERS},
    **{attribute: default for _, attribute, default, _ in CHOICES},
    **{attribute: names for _, attribute, names in LISTS},
    "checks": False,
    "flush": "auto",
    "flush_every_s": 0.0,
    "initialization_type": "",
    "keep_raw": False,
    "joins_lines": True,
    "memory_mb": 128,
    "platform_logs": ("default",),
    "port": 0,
    "problems": [],
    "spool_dir": "/tmp/telemetry-forwarder",
}


def test_names_list_every_setting_once() -> None:
    tested = {row[0] for row in NUMBERS} | {row[0] for row in CHOICES} | {row[0] for row in LISTS}
    others = {"CHECK", "FLUSH", "JOIN_LINES", "PLATFORM_LOGS", "PORT", "RAW_LINES", "SPOOL_DIR"}

    assert [setting.name for setting in SETTINGS] == list(dict.fromkeys(setting.name for setting in SETTINGS))
    assert names() == {PREFIX + name for name in tested | others}


def changed(**environ: str) -> dict[str, Any]:
    """Return the attributes that differ from the defaults when our variables are set to *environ*."""
    read = Settings({PREFIX + name: value for name, value in environ.items()})
    return {name: value for name, value in vars(read).items() if value != DEFAULTS[name]}


def problem(name: str, value: str, complaint: str, used: object) -> dict[str, Any]:
    return {"problems": [f"{PREFIX}{name}: {value!r} {complaint}; using {used} instead"]}


def test_every_setting_has_a_default() -> None:
    read = Settings({})

    assert vars(read) == DEFAULTS


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_listed_default_is_the_default(setting: Setting) -> None:
    assert changed(**{setting.name: setting.default}) == {}


@pytest.mark.parametrize(("name", "attribute", "default", "least", "most"), NUMBERS)
def test_listed_limits_are_the_limits(name: str, attribute: str, default: int, least: int, most: int) -> None:
    (setting,) = [setting for setting in SETTINGS if setting.name == name]

    assert (setting.limits, setting.default) == ((least, most), str(default))


ALL = [name for name, *_ in NUMBERS] + [name for name, *_ in CHOICES] + [name for name, *_ in LISTS]
ALL += ["CHECK", "FLUSH", "JOIN_LINES", "RAW_LINES", "PLATFORM_LOGS", "PORT", "SPOOL_DIR"]


@pytest.mark.parametrize("value", ["", " ", "\t\n", "''", ' "" '])
def test_empty_is_unset(value: str) -> None:
    assert changed(**dict.fromkeys(ALL, value)) == {}


@pytest.mark.parametrize("quoted", ["'{}'", '"{}"', ' " {} " '])
@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("FLUSH", "end", "flush", "end"),
        ("FLUSH_BUDGET_MS", "100", "flush_budget_ms", 100),
        ("TYPES", "function, platform", "types", ("platform", "function")),
        ("PLATFORM_LOGS", "start", "platform_logs", ("start",)),
        ("RAW_LINES", "true", "keep_raw", True),
        ("PORT", "4000", "port", 4_000),
        ("SPOOL_DIR", "/tmp/x y", "spool_dir", "/tmp/x y"),
    ],
)
def test_quotes_around_a_value_are_removed(name: str, text: str, attribute: str, value: object, quoted: str) -> None:
    read = Settings({PREFIX + name: quoted.format(text)})

    assert (getattr(read, attribute), read.problems) == (value, [])


@pytest.mark.parametrize("value", ["'end", 'end"', "'end\"", "''end''", "'"])
def test_other_quotes_are_a_part_of_the_value(value: str) -> None:
    assert Settings({f"{PREFIX}FLUSH": value}).problems != []


@pytest.mark.parametrize(("name", "attribute", "default", "least", "most"), NUMBERS)
def test_number_within_its_limits_is_used(name: str, attribute: str, default: int, least: int, most: int) -> None:
    middle = (least + most) // 2

    assert changed(**{name: f" {middle} "}) == {attribute: middle}
    for limit in (least, most):
        assert changed(**{name: str(limit)}) == ({} if limit == default else {attribute: limit})


@pytest.mark.parametrize(("name", "attribute", "default", "least", "most"), NUMBERS)
def test_number_beyond_its_limits_becomes_the_nearer_limit(
    name: str, attribute: str, default: int, least: int, most: int
) -> None:
    for beyond, nearest in ((least - 1, least), (most + 1, most)):
        expected = problem(name, str(beyond), f"is not between {least} and {most}", nearest)
        assert changed(**{name: str(beyond)}) == expected | ({} if nearest == default else {attribute: nearest})


@pytest.mark.parametrize("value", ["many", "1e4", "10_000", "+5000", "5000.0", "-", "²", "٣", "9" * 5_000])
@pytest.mark.parametrize(("name", "default"), [(name, default) for name, _, default, *_ in NUMBERS])
def test_text_that_is_not_a_number_leaves_the_default(name: str, default: int, value: str) -> None:
    assert changed(**{name: value}) == problem(name, value[:60], "is not a whole number", default)


@pytest.mark.parametrize(("name", "attribute", "default", "choices"), CHOICES)
def test_choice_is_case_insensitive(name: str, attribute: str, default: str, choices: tuple[str, ...]) -> None:
    for choice in choices:
        expected = {} if choice == default else {attribute: choice}
        assert changed(**{name: choice.upper()}) == expected
        assert changed(**{name: f" {choice.title()} "}) == expected


@pytest.mark.parametrize(("name", "default", "choices"), [(name, *row) for name, _, *row in CHOICES])
def test_unknown_choice_leaves_the_default(name: str, default: str, choices: tuple[str, ...]) -> None:
    complaint = f"is not one of {', '.join(choices)}"

    assert changed(**{name: "Both"}) == problem(name, "Both", complaint, default)


@pytest.mark.parametrize(("name", "attribute", "choices"), LISTS)
def test_list_is_returned_in_the_order_of_the_choices(name: str, attribute: str, choices: tuple[str, ...]) -> None:
    first, second, third = choices

    assert changed(**{name: f"{third.upper()}, {first},,{first}"}) == {attribute: (first, third)}
    assert changed(**{name: second}) == {attribute: (second,)}
    assert changed(**{name: ",".join(reversed(choices))}) == {}
    assert changed(**{name: " , "}) == {}


@pytest.mark.parametrize(("name", "attribute", "choices"), LISTS)
def test_unknown_names_in_a_list_are_omitted(name: str, attribute: str, choices: tuple[str, ...]) -> None:
    complaint = f"is not a list of {', '.join(choices)}"
    with_known = f"{choices[1]},x"

    assert changed(**{name: "x"}) == problem(name, "x", complaint, ",".join(choices))
    assert changed(**{name: with_known}) == problem(name, with_known, complaint, choices[1]) | {
        attribute: (choices[1],)
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("auto", {}),
        ("END", {"flush": "end"}),
        ("shutdown", {"flush": "shutdown"}),
        ("every 5 s", {"flush": "every", "flush_every_s": 5.0}),
        ("Every 1s", {"flush": "every", "flush_every_s": 1.0}),
        ("every\t3600", {"flush": "every", "flush_every_s": 3_600.0}),
    ],
)
def test_flush_is_a_mode_and_an_interval(value: str, expected: dict[str, Any]) -> None:
    assert changed(FLUSH=value) == expected


@pytest.mark.parametrize(
    "value", ["never", "every", "every s", "every 0 s", "every 3601 s", "every 1.5 s", "every -1 s", "end 5 s", "5 s"]
)
def test_unknown_flush_mode_leaves_auto(value: str) -> None:
    complaint = "is not one of auto, end, every N s (1 to 3600), shutdown"

    assert changed(FLUSH=value) == problem("FLUSH", value, complaint, "auto")


@pytest.mark.parametrize(("value", "port"), [("0", 0), ("1", 1), ("4243", 4_243), ("65535", 65_535)])
def test_valid_port_is_used(value: str, port: int) -> None:
    assert changed(PORT=value) == ({"port": port} if port else {})


@pytest.mark.parametrize("value", ["9001", "65536", "-1", "http", "99999999999999999999999"])
def test_invalid_port_leaves_any_free_port(value: str) -> None:
    complaint = "is not a port from 0 to 65535 other than Lambda's own 9001"

    assert changed(PORT=value) == problem("PORT", value, complaint, 0)


@pytest.mark.parametrize("value", ["1", "true", "Yes", "ON", "0", "false", "No", "off"])
def test_flag_has_several_spellings(value: str) -> None:
    is_on = value.lower() in ("1", "true", "yes", "on")

    assert changed(RAW_LINES=value) == ({"keep_raw": True, "joins_lines": False} if is_on else {})
    assert changed(JOIN_LINES=value) == ({} if is_on else {"joins_lines": False})
    assert changed(CHECK=value) == ({"checks": True} if is_on else {})


@pytest.mark.parametrize(
    ("word", "level"),
    [("trace", "debug"), ("WARNING", "warn"), ("critical", "error"), ("Fatal", "error"), ("off", "none")],
)
def test_usual_names_of_levels_stand_for_the_nearest(word: str, level: str) -> None:
    assert changed(LOG_LEVEL=word) == {"log_level": level}


def test_invalid_flag_leaves_false() -> None:
    complaint = "is not one of true, false"

    assert changed(RAW_LINES="maybe") == problem("RAW_LINES", "maybe", complaint, "false")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("default", ("default",)),
        ("All", ("all",)),
        ("none", ("none",)),
        ("report, INITSTART", ("initStart", "report")),
        ("platform.report, Platform.start", ("start", "report")),
        ("platform.report, start", ("start", "report")),
    ],
)
def test_platform_logs_are_a_keyword_or_a_list(value: str, expected: tuple[str, ...]) -> None:
    assert changed(PLATFORM_LOGS=value) == ({} if expected == ("default",) else {"platform_logs": expected})


@pytest.mark.parametrize(
    ("value", "taken"), [("x", ("default",)), ("all,report", ("report",)), ("platform.all", ("default",))]
)
def test_unknown_platform_logs_leave_the_known_ones(value: str, taken: tuple[str, ...]) -> None:
    complaint = f"is not default, all, none or a list of {EVENTS}"

    assert changed(PLATFORM_LOGS=value) == problem("PLATFORM_LOGS", value, complaint, ",".join(taken)) | (
        {} if taken == ("default",) else {"platform_logs": taken}
    )


@pytest.mark.parametrize(
    ("value", "signals"), [("traces,logs", ("logs", "spans")), ("Traces", ("spans",)), ("traces, spans", ("spans",))]
)
def test_traces_is_an_alias_of_spans(value: str, signals: tuple[str, ...]) -> None:
    assert changed(SIGNALS=value) == {"signals": signals}


def test_spool_dir_is_any_absolute_path() -> None:
    complaint = "does not begin with a slash"

    assert changed(SPOOL_DIR="/tmp/a b") == {"spool_dir": "/tmp/a b"}
    assert changed(SPOOL_DIR="spool") == problem("SPOOL_DIR", "spool", complaint, "/tmp/telemetry-forwarder")


@pytest.mark.parametrize(("memory_mb", "share"), [("884", 884 / 1_769), ("1769", 1.0), ("10240", 1.0)])
def test_cpu_share_is_proportional_to_memory(memory_mb: str, share: float) -> None:
    assert Settings({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory_mb}).cpu_share == share


@pytest.mark.parametrize(("size", "memory_mb"), [("1769", 1_769), ("", 128), ("much", 128)])
def test_memory_size_is_read_from_lambda_s_variable(size: str, memory_mb: int) -> None:
    assert Settings({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": size}).memory_mb == memory_mb


def test_invalid_value_in_every_setting_is_one_problem_each_and_leaves_the_defaults() -> None:
    everything = changed(**dict.fromkeys(ALL, "nonsense %zz ="))

    named = [sentence.partition(":")[0].removeprefix(PREFIX) for sentence in everything.pop("problems")]
    assert sorted(named) == sorted(ALL)
    assert everything == {}


def test_long_value_is_truncated_in_the_problem() -> None:
    (sentence,) = changed(LISTENER="x" * 4_000)["problems"]

    assert len(sentence) < 200


@given(st.sampled_from(ALL), st.text(max_size=40))
def test_any_value_is_at_most_one_problem_and_never_raises(name: str, value: str) -> None:
    assert len(Settings({PREFIX + name: value}).problems) <= 1


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ([3], "entry 3 is not key=value"),
        ([1, 2], "entries 1, 2 are not key=value"),
        (list(range(12)), "entries 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … are not key=value"),
    ],
)
def test_invalid_entries_are_one_complaint(numbers: list[int], complaint: str) -> None:
    assert not_valid(numbers) == complaint


def test_problem_is_reported_once() -> None:
    problems: list[str] = []

    for _ in range(3):
        assert reject(problems, "NAME", "'x' is wrong", "y") == "y"

    assert problems == ["NAME: 'x' is wrong; using y instead"]
