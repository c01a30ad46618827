"""Imports the heavy half of the program, in nobody's way: Lambda boots the runtime at the same time.

Measured on one core beside awslambdaric, which alone is ready after 51 ms: after 98 ms with a thread of this priority,
after 132 ms with one of the usual. Where a core is free it makes no difference.
"""

import gc
import os
import threading
from contextlib import suppress

# It cannot be raised again, hence a thread for this alone. Not 19, the lowest: the runtime was not ready any sooner
# (97 ms), and beside something that never rests on the same core, where this needs 3 s, that had not ended after 6 s.
# https://man7.org/linux/man-pages/man7/sched.7.html
_NICE = 10


def import_assembly() -> None:
    """Import `assembly` and all behind it. What fails here fails again, and is said, where it is needed."""
    thread = threading.Thread(target=_import, name="warm-up", daemon=True)
    thread.start()
    thread.join()


def _import() -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    # Nothing of what an import makes is garbage: looking for it took 4 % of the time. Nor does it ever become any,
    # so it is not looked at again.
    gc.disable()
    with suppress(Exception):
        import telemetry_forwarder.assembly  # noqa: F401  # this is the whole work
    gc.freeze()
    gc.enable()
