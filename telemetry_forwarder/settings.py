"""Reads our own settings from the environment, each checked once. Pure; a bad value is a sentence, never an error.

Where telemetry goes is `endpoints`' matter. Imported between `register` and the first `next`: no dataclass here,
because `dataclasses` alone costs more than all that we do until then.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TELEMETRY_FORWARDER_"

# Lambda's limits, beyond which it answers 400:
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html#telemetry-api-buffering
_MAX_ITEMS = (1_000, 10_000)
_MAX_BYTES = (262_144, 1_048_576)
_TIMEOUT_MS = (25, 30_000)

# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
_PLATFORM_EVENTS = (
    "initStart",
    "initRuntimeDone",
    "initReport",
    "start",
    "runtimeDone",
    "report",
    "restoreStart",
    "restoreRuntimeDone",
    "restoreReport",
    "extension",
    "telemetrySubscription",
    "logsDropped",
)

_GIB = 1_073_741_824
_FULL_CPU_MB = 1_769
# OpenTelemetry calls the signal traces; what it is made of is what we call it by.
_ALIASES = {"traces": "spans"}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class Settings:
    """What the user asked for, with a default for everything. README's table says what each one means."""

    __slots__ = (
        "batch_bytes",
        "batch_items",
        "buffer_max_bytes",
        "buffer_max_items",
        "buffer_timeout_ms",
        "flush",
        "flush_budget_ms",
        "flush_every_s",
        "inbox_bytes",
        "initialization_type",
        "keep_raw",
        "known",
        "listener",
        "log_level",
        "memory_mb",
        "outbox_bytes",
        "platform_logs",
        "port",
        "problems",
        "sampling",
        "signals",
        "spool_bytes",
        "spool_dir",
        "trace_parent",
        "types",
        "warm_up",
    )

    def __init__(self, environ: "Mapping[str, str]") -> None:
        read = _Reader(environ)
        self.problems: list[str] = read.problems
        """One sentence for each value that could not be taken as it is."""
        self.types = read.names("TYPES", ("platform", "function", "extension"))
        self.signals = read.names("SIGNALS", ("logs", "spans", "metrics"))
        self.buffer_max_items = read.clamped("BUFFER_MAX_ITEMS", 10_000, _MAX_ITEMS)
        self.buffer_max_bytes = read.clamped("BUFFER_MAX_BYTES", 1_048_576, _MAX_BYTES)
        self.buffer_timeout_ms = read.clamped("BUFFER_TIMEOUT_MS", 25, _TIMEOUT_MS)
        self.listener = read.choice("LISTENER", ("http", "tcp"))
        self.port = read.port("PORT")
        self.flush, self.flush_every_s = read.flush("FLUSH")
        self.flush_budget_ms = read.clamped("FLUSH_BUDGET_MS", 500, (0, 60_000))
        self.warm_up = read.choice("WARM_UP", ("auto", "init", "background"))
        self.platform_logs = read.platform_logs("PLATFORM_LOGS")
        self.keep_raw = read.flag("RAW_LINES")
        self.trace_parent = read.choice("TRACE_PARENT", ("link", "parent", "none"))
        self.sampling = read.choice("SAMPLING", ("all", "xray"))
        self.inbox_bytes = read.clamped("INBOX_BYTES", 16_777_216, (4_194_304, _GIB))
        self.outbox_bytes = read.clamped("OUTBOX_BYTES", 16_777_216, (65_536, _GIB))
        self.batch_bytes = read.clamped("BATCH_BYTES", 4_194_304, (16_384, 67_108_864))
        self.batch_items = read.clamped("BATCH_ITEMS", 10_000, (1, 1_000_000))
        self.spool_bytes = read.clamped("SPOOL_BYTES", 67_108_864, (0, 10 * _GIB))
        self.spool_dir = read.folder("SPOOL_DIR", "/tmp/telemetry-forwarder")
        self.log_level = read.choice("LOG_LEVEL", ("info", "debug", "warn", "error", "none"))
        self.known = frozenset(read.looked_for)
        """The names of all settings of ours that are read here."""
        self.initialization_type = environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "")
        self.memory_mb = _whole_number(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")) or 128

    @property
    def cpu_share(self) -> float:
        """Of one vCPU, once the init is over; more than one is no use to us.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
        """
        return min(1.0, self.memory_mb / _FULL_CPU_MB)


class _Reader:
    """Takes single values out of the environment, and notes what is wrong with them."""

    __slots__ = ("_environ", "looked_for", "problems")

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self._environ = environ
        self.looked_for: set[str] = set()
        self.problems: list[str] = []

    def folder(self, name: str, default: str) -> str:
        path = self._given(name)
        # Nobody says in which folder Lambda starts us.
        if path and not path.startswith("/"):
            self._object(name, "does not begin with a slash", default)
            return default
        return path or default

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of *choices*; the first is the default."""
        value = self._given(name).lower()
        if value in choices:
            return value
        if value:
            self._object(name, f"is none of {', '.join(choices)}", choices[0])
        return choices[0]

    def names(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Some of *known*, in their order, separated by commas; all of them by default."""
        words = {word.strip().lower() for word in self._given(name).split(",") if word.strip()}
        given = {_ALIASES.get(word, word) for word in words}
        taken = tuple(word for word in known if word in given)
        if given <= set(known):
            return taken or known
        self._object(name, f"names something other than {', '.join(known)}", ",".join(taken or known))
        return taken or known

    def platform_logs(self, name: str) -> tuple[str, ...]:
        """`default`, `all` or `none`, or names of platform events, with or without their `platform.`."""
        words = [word.strip().lower() for word in self._given(name).split(",") if word.strip()]
        if len(words) == 1 and words[0] in ("default", "all", "none"):
            return (words[0],)
        words = [word.removeprefix("platform.") for word in words]
        taken = tuple(event for event in _PLATFORM_EVENTS if event.lower() in words) or ("default",)
        if words and not {event.lower() for event in _PLATFORM_EVENTS}.issuperset(words):
            choices = ", ".join(_PLATFORM_EVENTS)
            self._object(name, f"is none of default, all, none, and no list of {choices}", ",".join(taken))
        return taken

    def flag(self, name: str) -> bool:
        value = self._given(name).lower()
        if value and value not in _TRUE | _FALSE:
            self._object(name, "is neither true nor false", "false")
        return value in _TRUE

    def clamped(self, name: str, default: int, limits: tuple[int, int]) -> int:
        """A whole number within *limits*; beyond them, the nearer limit."""
        value = self._given(name)
        number = _whole_number(value)
        if not value:
            return default
        if number is None:
            self._object(name, "is not a whole number", str(default))
            return default
        nearest = min(max(number, limits[0]), limits[1])
        if nearest != number:
            self._object(name, f"is not between {limits[0]} and {limits[1]}", str(nearest))
        return nearest

    def port(self, name: str) -> int:
        """0 is any free one. 9001 is the Runtime API's own."""
        value = self._given(name)
        port = _whole_number(value or "0")
        if port is None or not 0 <= port <= 65_535 or port == 9_001:
            self._object(name, "is no port from 0 to 65535, or is Lambda's own 9001", "0")
            return 0
        return port

    def flush(self, name: str) -> tuple[str, float]:
        """The mode, and for `every` its seconds."""
        mode, seconds = [*self._given(name).lower().split(None, 1), "", ""][:2]
        if mode in ("", "auto", "end", "shutdown") and not seconds:
            return mode or "auto", 0.0
        number = _whole_number(seconds.strip().removesuffix("s").strip())
        if mode == "every" and number is not None and 1 <= number <= 3_600:
            return mode, float(number)
        self._object(name, "is none of auto, end, every N s (1 to 3600), shutdown", "auto")
        return "auto", 0.0

    def _given(self, name: str) -> str:
        self.looked_for.add(PREFIX + name)
        return self._environ.get(PREFIX + name, "").strip()

    def _object(self, name: str, complaint: str, taken: str) -> None:
        self.problems.append(
            f"{PREFIX}{name}: {self._given(name)[:60]!r} {complaint}; taken instead: {taken}"
        )


def _whole_number(text: str) -> int | None:
    digits = text[1:] if text[:1] == "-" else text
    # The length: int() itself refuses texts of more than 4,300 digits with an error.
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
