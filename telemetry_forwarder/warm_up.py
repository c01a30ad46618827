"""Imports the heavy half of the program, in nobody's way: Lambda boots the runtime at the same time.

Measured on one core beside awslambdaric, which alone is ready after 30 ms: after 50 ms with a thread of the lowest
priority, after 74 ms with a usual one. Where a core is free it makes no difference.
"""

import gc
import os
import threading
from contextlib import suppress

# The lowest that there is. It cannot be raised again, hence a thread for this alone.
# https://man7.org/linux/man-pages/man7/sched.7.html
_LOWEST = 19


def import_assembly() -> None:
    """Import `assembly` and all behind it. What fails here fails again, and is said, where it is needed."""
    thread = threading.Thread(target=_import, name="warm-up", daemon=True)
    thread.start()
    thread.join()


def _import() -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
    # Nothing of what an import makes is garbage: looking for it took 4 % of the time. Nor does it ever become any,
    # so it is not looked at again.
    gc.disable()
    with suppress(Exception):
        import telemetry_forwarder.assembly  # noqa: F401  # this is the whole work
    gc.freeze()
    gc.enable()
