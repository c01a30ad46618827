"""Starts and ends the process. Everything imported from here until `register` is latency for the user."""

# The C module behind `os`: `os` itself would add a third to the start of a bare interpreter.
import posix

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.lambda_api import LambdaApi
from telemetry_forwarder.lifecycle import Lifecycle

# The function's `OTEL_*` and `GRPC_*` settings are meant for its own SDK, not ours: an invalid limit would raise,
# `OTEL_SDK_DISABLED` disable the metrics, and an unknown `GRPC_POLL_STRATEGY` abort the process.
_FUNCTION_PREFIXES = (b"OTEL_", b"GRPC_")
_SHARED_VARIABLES = frozenset({b"OTEL_RESOURCE_ATTRIBUTES", b"OTEL_SERVICE_NAME"})


def main(name: str) -> None:
    """Run as the extension *name*, the base name of the file that Lambda started. Ends the process, never returns.

    The exit code is 0 after SHUTDOWN, 1 if Lambda refused the extension or could not be reached.
    """
    environ = {_text(variable): _text(value) for variable, value in posix.environ.items()}
    _remove_function_variables()
    api = LambdaApi(environ.get("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"), name)
    code = Lifecycle(api, environ, Clock()).run()
    # Not sys.exit: finalising the interpreter takes longer than most flushes, and Lambda waits for the process to end.
    posix._exit(code)


def _remove_function_variables() -> None:
    for variable in list(posix.environ):
        if variable.startswith(_FUNCTION_PREFIXES) and variable not in _SHARED_VARIABLES:
            # Remove it from the dict behind `os.environ` and from the C environment.
            del posix.environ[variable]
            posix.unsetenv(variable)


def _text(name_or_value: bytes) -> str:
    return name_or_value.decode("utf-8", "surrogateescape")
