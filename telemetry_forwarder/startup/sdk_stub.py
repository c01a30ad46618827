"""Stand-ins for what the SDK's spans import and we never use: the API of metrics, and what warns of deprecated names.

So neither module is loaded during the warm-up; later uses load it.
"""

from typing import Any, assert_never

import typing_extensions
from opentelemetry import metrics

from telemetry_forwarder.startup import lazy_modules


def install() -> None:
    """Patch both modules until `restore`."""
    # In annotations only.
    for name in ("Counter", "Histogram", "Meter", "MeterProvider", "UpDownCounter"):
        lazy_modules.substitute(metrics, name, object)
    for name, value in (("assert_never", assert_never), ("deprecated", _unchanged)):
        lazy_modules.substitute(typing_extensions, name, value)


def restore() -> None:
    """Remove the stand-ins."""
    lazy_modules.restore(metrics)
    lazy_modules.restore(typing_extensions)


def _unchanged(*_: Any, **__: Any) -> Any:
    return lambda decorated: decorated
