"""Where the process begins and ends. Everything imported from here until `register` is latency for the user."""

# `os` without what Python adds to it, which would be a third of a bare interpreter's start.
import posix

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.lambda_api import LambdaApi
from telemetry_forwarder.lifecycle import Lifecycle

# What the function's SDK and its gRPC read is not for those that we use. A limit that is no number would end the
# forwarding, `OTEL_SDK_DISABLED` silence the metrics, and an unknown `GRPC_POLL_STRATEGY` abort the process.
_OF_THE_FUNCTION = (b"OTEL_", b"GRPC_")
_OURS_AS_WELL = frozenset({b"OTEL_RESOURCE_ATTRIBUTES", b"OTEL_SERVICE_NAME"})


def main(name: str) -> None:
    """Be the extension *name*, the basename of the file that Lambda started. Does not return: the process ends.

    The exit code is 0 after SHUTDOWN, 1 if Lambda would not have us.
    """
    environ = {_text(variable): _text(value) for variable, value in posix.environ.items()}
    _hide_what_is_of_the_function()
    api = LambdaApi(environ.get("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"), name)
    code = Lifecycle(api, environ, Clock()).run()
    # Not sys.exit: tearing the interpreter down takes longer than many a flush, and Lambda waits for our end.
    posix._exit(code)


def _hide_what_is_of_the_function() -> None:
    for variable in list(posix.environ):
        if variable.startswith(_OF_THE_FUNCTION) and variable not in _OURS_AS_WELL:
            # From what `os.environ` is made of, and from what libraries in C are given.
            del posix.environ[variable]
            posix.unsetenv(variable)


def _text(name_or_value: bytes) -> str:
    return name_or_value.decode("utf-8", "surrogateescape")
