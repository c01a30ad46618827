import json
import subprocess
import sys

from tests.support.collector import FakeCollector
from tests.support.fake_lambda import NEXT, REGISTER, SUBSCRIBE, FakeLambda, Response, shutdown
from tests.support.paths import PROJECT
from tests.support.subprocess_coverage import isolated_python

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder.__main__ import main
main("the-name", sys.argv[2:])
"""
# Prints the environment that libraries see, in the place of the extension's own work.
PRINT_ENVIRONMENT = """
import ctypes, json, os, sys
sys.path.insert(0, sys.argv[1])
from telemetry_forwarder import __main__
from telemetry_forwarder.lifecycle import Lifecycle

class Printing(Lifecycle):
    def run(self, _raise_at_signals):
        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_char_p
        names = json.loads(self._environ["NAMES"])
        seen = {name: [name in self._environ, name in os.environ, bool(getenv(name.encode()))] for name in names}
        print(json.dumps(seen), flush=True)
        return 3

__main__.Lifecycle = Printing
__main__.main("the-name")
"""


def run(program: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = isolated_python(program, str(PROJECT), *arguments, has_libraries=True)
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def test_process_ends_with_0_after_shutdown(runtime: FakeLambda) -> None:
    runtime.respond(SUBSCRIBE, Response(202))
    runtime.respond(NEXT, shutdown())

    process = run(PROGRAM, AWS_LAMBDA_RUNTIME_API=runtime.runtime_api)

    assert process.returncode == 0
    assert runtime.endpoints == [REGISTER, SUBSCRIBE, NEXT]
    assert runtime.calls[0].headers["lambda-extension-name"] == "the-name"


def test_process_ends_with_1_if_lambda_refuses_it(runtime: FakeLambda) -> None:
    runtime.respond(REGISTER, Response(403, b"no"))

    process = run(PROGRAM, AWS_LAMBDA_RUNTIME_API=runtime.runtime_api)

    assert (process.returncode, process.stderr) == (
        1,
        "[telemetry-forwarder] ERROR Lambda responded with 403 to register: no\n",
    )


def test_all_variables_are_hidden_from_libraries() -> None:
    names = ["OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OPENSSL_CONF", "SSL_CERT_DIR", "https_proxy", "HOME"]

    process = run(PRINT_ENVIRONMENT, NAMES=json.dumps(names), **dict.fromkeys(names, "value"))

    assert process.returncode == 3
    # In the settings' environment, in `os.environ`, and in the environment of the C library.
    assert json.loads(process.stdout) == {name: [True, False, False] for name in names}


def test_arguments_have_no_effect_in_lambda(runtime: FakeLambda) -> None:
    runtime.respond(SUBSCRIBE, Response(202))
    runtime.respond(NEXT, shutdown())

    process = run(PROGRAM, "unknown", AWS_LAMBDA_RUNTIME_API=runtime.runtime_api)

    assert process.returncode == 0
    assert runtime.endpoints == [REGISTER, SUBSCRIBE, NEXT]


def test_unknown_argument_prints_the_usage() -> None:
    process = run(PROGRAM, "chekc")

    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("usage: the-name ")


def test_endpoints_are_checked_with_the_variables_of_the_process() -> None:
    process = run(PROGRAM, "check", TELEMETRY_FORWARDER_ENDPOINT="http://nobody.invalid")

    assert (process.returncode, process.stderr) == (1, "")
    assert "the name nobody.invalid cannot be resolved" in process.stdout


def test_module_is_the_same_command(collector: FakeCollector) -> None:
    environ = {"TELEMETRY_FORWARDER_ENDPOINT": collector.endpoint, "PYTHONPATH": str(PROJECT), "LC_ALL": "C"}
    command = [sys.executable, "-m", "telemetry_forwarder"]

    done = subprocess.run([*command, "check"], env=environ, capture_output=True, text=True, timeout=60)
    wrong = subprocess.run([*command, "unknown"], env=environ, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("delivered: logs, traces, metrics; not delivered: none\n")
    assert (wrong.returncode, wrong.stdout) == (2, "")
