"""Runs in a process of its own, in which neither module has been loaded."""

import json
import subprocess

from tests.support.opt_tree import assemble
from tests.support.subprocess_coverage import isolated_python

PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from importlib.machinery import PathFinder
from telemetry_forwarder.startup.lazy_modules import make_lazy

class Finder:
    def find_spec(name, path=None, target=None):
        if name in ("typing_extensions", "opentelemetry.metrics"):
            spec = PathFinder.find_spec(name, path)
            make_lazy(spec)
            return spec

sys.meta_path.insert(0, Finder)
from telemetry_forwarder.startup import sdk_stub

def are_loaded():
    names = ("typing_extensions", "opentelemetry.metrics")
    return [type(sys.modules[name]).__name__ != "_LazyModule" for name in names]

sdk_stub.install()
from opentelemetry.sdk.trace import ReadableSpan
from typing_extensions import deprecated

@deprecated("another one", category=None)
def answer():
    return 42

during = [are_loaded(), answer(), ReadableSpan("name").name]
sdk_stub.restore()
from opentelemetry.metrics import Meter
from typing_extensions import deprecated
print(json.dumps([during, are_loaded(), Meter.__module__, deprecated is not sdk_stub._unchanged]))
"""


def test_stand_ins_avoid_loading_until_the_restore() -> None:
    command = isolated_python(PROGRAM, str(assemble() / "telemetry-forwarder" / "lib"))

    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout

    during = [[False, False], 42, "name"]
    assert json.loads(output) == [during, [True, True], "opentelemetry.metrics", True]
