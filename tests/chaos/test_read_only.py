import os
from pathlib import Path

from tests.chaos.read_only import read_only_copy
from tests.emulator import Lambda
from tests.support.paths import FUNCTIONS

# Only root may start a process as another user.
_USER = None if os.geteuid() else 993


def test_extension_of_another_user_cannot_change_its_tree(tmp_path: Path) -> None:
    extension = tmp_path / "extensions" / "probe"
    extension.parent.mkdir()
    extension.write_text('#!/bin/sh\nid -u\necho changed 2>/dev/null >"$0" || echo refused\n')
    extension.chmod(0o755)

    with read_only_copy(tmp_path) as opt, Lambda(opt=opt, task=FUNCTIONS, extension_user=_USER) as function:
        pass

    assert list(function.extension_output) == [str(os.geteuid() or _USER), "refused"]
    assert not opt.parent.exists()
