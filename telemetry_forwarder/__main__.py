"""Starts and ends the process. Everything imported from here until `register` is latency for the user.

Lambda starts it without arguments. With arguments, and outside Lambda, it is a command: `check`.
"""

import _signal  # type: ignore[import-not-found]  # the C module behind `signal`, which would import `enum`

# The C module behind `os`: `os` itself would add a third to the start of a bare interpreter.
import posix
import sys

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.errors import TerminatedError
from telemetry_forwarder.lambda_api import LambdaApi
from telemetry_forwarder.lifecycle import Lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# By default they end the process without a word, as do the real-time signals. Lambda sends none of them, but tools and
# other processes may. Not those that a crash raises.
_SIGNALS = (
    *("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGALRM", "SIGUSR1", "SIGUSR2"),
    *("SIGXCPU", "SIGPROF", "SIGVTALRM", "SIGIO", "SIGPWR", "SIGSTKFLT"),
)


def main(name: str, arguments: "Sequence[str]" = ()) -> None:
    """Run as the extension *name*, the base name of the file that Lambda started. Ends the process, never returns.

    The exit code is 0 after SHUTDOWN or a signal, 1 if Lambda refused the extension or could not be reached; with
    *arguments*, which have no effect in Lambda, that of `check.command`.
    """
    environ = {_text(variable): _text(value) for variable, value in posix.environ.items()}
    _hide_environment()
    if arguments and "AWS_LAMBDA_RUNTIME_API" not in environ:
        posix._exit(_run_command(name, arguments, environ))
    api = LambdaApi(environ.get("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"), name)
    code = Lifecycle(api, environ, Clock()).run(lambda: _raise_at_signals(api))
    # Not sys.exit: finalising the interpreter takes longer than most flushes, and Lambda waits for the process to end.
    posix._exit(code)


def _run_command(name: str, arguments: "Sequence[str]", environ: "Mapping[str, str]") -> int:
    # Imported here: no start of the extension needs it.
    from telemetry_forwarder.startup.warm_up import WarmUp

    # In the layer everything else is in the bundle, which this opens.
    WarmUp(environ).wait()
    from telemetry_forwarder.check.command import run

    # The handler of Python would print a traceback.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    return run(name, arguments, environ)


def _hide_environment() -> None:
    """Remove all variables: they are meant for the function, we read a copy, and libraries would read them, too.

    `OPENSSL_CONF` could leave no ciphers, and `PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION` name an implementation that is
    not installed.
    """
    for variable in posix.environ:
        # The C environment refuses an empty name.
        if variable:
            posix.unsetenv(variable)
    # This dict is also behind `os.environ`.
    posix.environ.clear()


def _raise_at_signals(api: LambdaApi) -> None:
    """Make the first of these signals raise `TerminatedError` in this thread, whatever it waits for."""
    names = {getattr(_signal, name): name for name in _SIGNALS}
    is_first = True

    def terminate(number: int, _frame: object) -> None:
        nonlocal is_first
        # Not `SIG_IGN` after the first: Python complains about a signal that has arrived before that.
        if is_first:
            is_first = False
            raise TerminatedError(names.get(number, f"signal {number}"))

    for number in (*names, *range(_signal.SIGRTMIN, _signal.SIGRTMAX + 1)):
        try:  # noqa: SIM105  # `contextlib` is not imported yet
            _signal.signal(number, terminate)
        except OSError:
            # It is reserved: valgrind uses the last one itself.
            pass
    # A signal that arrives right before a wait does not interrupt it, but this ends the wait.
    try:
        api.wakeup, when_signalled = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        _signal.set_wakeup_fd(when_signalled, warn_on_full_buffer=False)
    except OSError:
        # No descriptor is free.
        pass
    # The process that has started us may have blocked them.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _text(name_or_value: bytes) -> str:
    return name_or_value.decode("utf-8", "surrogateescape")


if __name__ == "__main__":
    main("telemetry-forwarder", sys.argv[1:])
