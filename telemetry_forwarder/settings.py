"""Reads our own settings from the environment, each checked once. Pure; an invalid value gives a warning and a default.

`endpoints` reads where telemetry is sent. Imported between `register` and the first `next`: no dataclass here, because
importing `dataclasses` alone costs more than everything else that is done until then.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TELEMETRY_FORWARDER_"

# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
_PLATFORM_EVENTS = (
    *("initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"),
    *("restoreStart", "restoreRuntimeDone", "restoreReport", "extension", "telemetrySubscription", "logsDropped"),
)
_GIB = 1_073_741_824
_FULL_CPU_MB = 1_769
_RUNTIME_API_PORT = 9_001
# OpenTelemetry's name of a signal, usual spellings of flags and levels. A word stands for the first that is a choice.
_SYNONYMS = {
    "traces": ("spans",),
    **dict.fromkeys(("1", "yes", "on"), ("true",)),
    **dict.fromkeys(("0", "no"), ("false",)),
    "off": ("false", "none"),
    "trace": ("debug",),
    "warning": ("warn",),
    **dict.fromkeys(("critical", "fatal"), ("error",)),
}


class Setting:
    """One variable: its name without the prefix, its default as a user would write it, and its valid values."""

    __slots__ = ("choices", "default", "limits", "name")

    def __init__(
        self, name: str, default: str, *, choices: tuple[str, ...] = (), limits: tuple[int, int] = (0, 0)
    ) -> None:
        self.name = name
        self.default = default
        self.choices = choices
        """Valid words; empty if *limits* apply, or if any text is valid."""
        self.limits = limits
        """Least and largest valid number."""


SETTINGS = (
    Setting("TYPES", "platform,function,extension", choices=("platform", "function", "extension")),
    Setting("SIGNALS", "logs,spans,metrics", choices=("logs", "spans", "metrics")),
    Setting("PLATFORM_LOGS", "default", choices=("default", "all", "none", *_PLATFORM_EVENTS)),
    Setting("RAW_LINES", "false", choices=("true", "false")),
    Setting("JOIN_LINES", "true", choices=("true", "false")),
    Setting("TRACE_PARENT", "link", choices=("link", "parent", "none")),
    Setting("SPAN_START", "invocation", choices=("invocation", "init")),
    Setting("SAMPLING", "all", choices=("all", "xray")),
    Setting("FLUSH", "auto", choices=("auto", "end", "every N s (1 to 3600)", "shutdown")),
    Setting("FLUSH_BUDGET_MS", "500", limits=(0, 60_000)),
    Setting("WARM_UP", "auto", choices=("auto", "init", "background")),
    Setting("LISTENER", "http", choices=("http", "tcp")),
    Setting("PORT", "0", limits=(0, 65_535)),
    # Beyond these limits Lambda answers 400:
    # https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html#telemetry-api-buffering
    Setting("BUFFER_MAX_ITEMS", "10000", limits=(1_000, 10_000)),
    Setting("BUFFER_MAX_BYTES", "1048576", limits=(262_144, 1_048_576)),
    Setting("BUFFER_TIMEOUT_MS", "25", limits=(25, 30_000)),
    Setting("INBOX_BYTES", "16777216", limits=(4_194_304, _GIB)),
    Setting("OUTBOX_BYTES", "16777216", limits=(65_536, _GIB)),
    Setting("BATCH_BYTES", "4194304", limits=(16_384, 67_108_864)),
    Setting("BATCH_ITEMS", "10000", limits=(1, 1_000_000)),
    Setting("SPOOL_BYTES", "67108864", limits=(0, 10 * _GIB)),
    Setting("SPOOL_DIR", "/tmp/telemetry-forwarder"),  # noqa: S108  # a sandbox has no other user
    Setting("CHECK", "false", choices=("true", "false")),
    Setting("LOG_LEVEL", "info", choices=("debug", "info", "warn", "error", "none")),
)
"""Every setting that is read here, in the order of the documentation."""


def names() -> frozenset[str]:
    """Return the variables' full names."""
    return frozenset([PREFIX + setting.name for setting in SETTINGS])


def reject(problems: list[str], name: str, complaint: str, used: str) -> str:
    """Append the warning that *name* is invalid and *used* is used instead, unless it is there; return *used*."""
    problem = f"{name}: {complaint}; using {used} instead"
    # A value that three signals share is read three times.
    if problem not in problems:
        problems.append(problem)
    return used


def not_valid(numbers: "list[int]", form: str = "key=value") -> str:
    """Return the complaint that the entries with these *numbers* in a list, at least one, do not have the *form*."""
    shown = ", ".join([str(number) for number in numbers[:10]]) + (", …" if numbers[10:] else "")
    return f"entries {shown} are not {form}" if numbers[1:] else f"entry {shown} is not {form}"


def read_value(environ: "Mapping[str, str]", name: str) -> str:
    """Return the value of the variable *name* without space around it; "" if it is not set.

    One pair of quotes is removed: a file or a shell may have left it around the value.
    """
    value = environ.get(name, "").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()
    return value


class Settings:
    """The settings of one process, with a default for each that is not set or not valid."""

    def __init__(self, environ: "Mapping[str, str]") -> None:
        read = _Reader(environ)
        self.problems = read.problems
        """One sentence for each value that is not used as it is."""
        self.types = read.names("TYPES")
        self.signals = read.names("SIGNALS")
        self.buffer_max_items = read.number("BUFFER_MAX_ITEMS")
        self.buffer_max_bytes = read.number("BUFFER_MAX_BYTES")
        self.buffer_timeout_ms = read.number("BUFFER_TIMEOUT_MS")
        self.listener = read.choice("LISTENER")
        self.port = read.port("PORT")
        self.flush, self.flush_every_s = read.flush("FLUSH")
        self.flush_budget_ms = read.number("FLUSH_BUDGET_MS")
        self.warm_up = read.choice("WARM_UP")
        self.platform_logs = read.platform_logs("PLATFORM_LOGS")
        self.keep_raw = read.choice("RAW_LINES") == "true"
        self.joins_lines = read.choice("JOIN_LINES") == "true" and not self.keep_raw
        self.trace_parent = read.choice("TRACE_PARENT")
        self.span_start = read.choice("SPAN_START")
        self.sampling = read.choice("SAMPLING")
        self.inbox_bytes = read.number("INBOX_BYTES")
        self.outbox_bytes = read.number("OUTBOX_BYTES")
        self.batch_bytes = read.number("BATCH_BYTES")
        self.batch_items = read.number("BATCH_ITEMS")
        self.spool_bytes = read.number("SPOOL_BYTES")
        self.spool_dir = read.folder("SPOOL_DIR")
        self.checks = read.choice("CHECK") == "true"
        self.log_level = read.choice("LOG_LEVEL")
        self.initialization_type = environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "")
        self.memory_mb = _whole_number(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")) or 128

    @property
    def cpu_share(self) -> float:
        """The share of one vCPU that Lambda provides after init; at most 1, because one thread runs at a time.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
        """
        return min(1.0, self.memory_mb / _FULL_CPU_MB)


class _Reader:
    """Reads single values from the environment and collects what is wrong with them."""

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self._environ = environ
        self._settings = {setting.name: setting for setting in SETTINGS}
        self.problems: list[str] = []

    def folder(self, name: str) -> str:
        default = self._settings[name].default
        path = self._value(name) or default
        # Lambda does not document the working directory of an extension.
        return path if path.startswith("/") else self._reject(name, "does not begin with a slash", default)

    def choice(self, name: str) -> str:
        setting, value = self._settings[name], self._value(name).lower()
        choice = _meaning(value, setting.choices) or setting.default
        if choice not in setting.choices:
            return self._reject(name, f"is not one of {', '.join(setting.choices)}", setting.default)
        return choice

    def names(self, name: str) -> tuple[str, ...]:
        """Return some of the choices, in their order, from a list separated by commas; all of them by default."""
        known = self._settings[name].choices
        words = {_meaning(word, known) for word in self._words(name)}
        found = tuple(word for word in known if word in words) or known
        if not words.issubset(known):
            self._reject(name, f"is not a list of {', '.join(known)}", ",".join(found))
        return found

    def platform_logs(self, name: str) -> tuple[str, ...]:
        """Return `default`, `all` or `none`, or names of platform events, given with or without `platform.`."""
        words = self._words(name)
        if len(words) == 1 and words[0] in ("default", "all", "none"):
            return (words[0],)
        words = [word.removeprefix("platform.") for word in words]
        found = tuple(event for event in _PLATFORM_EVENTS if event.lower() in words) or ("default",)
        if not {event.lower() for event in _PLATFORM_EVENTS}.issuperset(words):
            events = ", ".join(_PLATFORM_EVENTS)
            self._reject(name, f"is not default, all, none or a list of {events}", ",".join(found))
        return found

    def number(self, name: str) -> int:
        """Return a whole number; beyond the limits, the nearer limit."""
        setting, value = self._settings[name], self._value(name)
        number = _whole_number(value or setting.default)
        if number is None:
            return int(self._reject(name, "is not a whole number", setting.default))
        least, largest = setting.limits
        nearest = min(max(number, least), largest)
        if nearest != number:
            self._reject(name, f"is not between {least} and {largest}", str(nearest))
        return nearest

    def port(self, name: str) -> int:
        port = _whole_number(self._value(name) or "0")
        least, largest = self._settings[name].limits
        if port is None or not least <= port <= largest or port == _RUNTIME_API_PORT:
            complaint = f"is not a port from {least} to {largest} other than Lambda's own {_RUNTIME_API_PORT}"
            return int(self._reject(name, complaint, "0"))
        return port

    def flush(self, name: str) -> tuple[str, float]:
        """Return the mode, and for `every` its seconds."""
        mode, seconds = [*self._value(name).lower().split(None, 1), "", ""][:2]
        if mode in ("", "auto", "end", "shutdown") and not seconds:
            return mode or "auto", 0.0
        number = _whole_number(seconds.strip().removesuffix("s").strip())
        if mode == "every" and number is not None and 1 <= number <= 3_600:
            return mode, float(number)
        choices = ", ".join(self._settings[name].choices)
        return self._reject(name, f"is not one of {choices}", "auto"), 0.0

    def _value(self, name: str) -> str:
        return read_value(self._environ, PREFIX + name)

    def _words(self, name: str) -> list[str]:
        return [word.strip().lower() for word in self._value(name).split(",") if word.strip()]

    def _reject(self, name: str, complaint: str, used: str) -> str:
        return reject(self.problems, PREFIX + name, f"{self._value(name)[:60]!r} {complaint}", used)


def _meaning(word: str, choices: tuple[str, ...]) -> str:
    """Return the one of *choices* that *word* is or stands for; *word* itself if there is none."""
    return next((choice for choice in (word, *_SYNONYMS.get(word, ())) if choice in choices), word)


def _whole_number(text: str) -> int | None:
    digits = text[1:] if text[:1] == "-" else text
    # The length: int() itself refuses texts of more than 4,300 digits with an error.
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
