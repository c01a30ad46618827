"""One file with what the warm-up would else find, read and compile piece by piece: modules, generated code, patterns.

The imports of the worker, in millions of instructions (callgrind, CPython 3.11): 730 without it, 679 with the modules
from one file, 565 with the code that `dataclasses` and `namedtuple` generate as well, 483 with the patterns of `re`,
425 where what nobody touches waits (`deferred`) and nobody needs `inspect` (`inspected`). Each with httpx, which is for
proxies alone by now: without it 276.
`layer/recipe/bundling.py` makes the file of what the interpreter itself comes to. What is not in it is found and
compiled as always; `tests/startup/test_bundle.py` notices when it no longer pays.
"""

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import SourceFileLoader, SourcelessFileLoader

from telemetry_forwarder.errors import ForwarderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType, ModuleType
    from typing import Any

FILE_NAME = "warm-up.bundle"
# Neither byte code nor compiled patterns outlive a release of Python.
SIGNATURE = b"telemetry-forwarder bundle 1 %08x\n" % sys.hexversion
_SIZE_BYTES = 8
# The folder that has our package in it.
_OUR_LIB = __file__.rsplit("/", 3)[0]
_FRONT_BYTES = len(SIGNATURE) + 2 * _SIZE_BYTES


class ForeignBundleError(ForwarderError):
    """The file was made for another Python: it is of no use, and does no harm."""


class Bundle:
    """An open file and its index."""

    def __init__(self, lib: str = _OUR_LIB) -> None:
        """Open that of the folder *lib*, where its modules would lie.

        Raises `OSError` where there is none, `ForeignBundleError`, and `ValueError` or `EOFError` where it is damaged.
        """
        self._lib = lib
        self._begin = 0
        self._modules: dict[str, tuple[str, bool, int, int]] = {}
        self._deferred: tuple[str, ...] = ()
        self._code: dict[str, CodeType] = {}
        self._patterns: dict[tuple[str | bytes, int], tuple[Any, ...]] = {}
        self._signatures: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        self._work_out: Callable[..., Any] | None = None
        self._file = posix.open(f"{lib}/{FILE_NAME}", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            self._read_index()
        except BaseException:
            posix.close(self._file)
            raise

    def install(self) -> None:
        """Let this process look here first, from now on for modules, and until `take_back` for what is compiled."""
        sys.meta_path.insert(0, self)
        # In this order each imports with what was lent before.
        self._lend_code("collections", "eval", eval)
        self._lend_patterns()
        self._lend_code("dataclasses", "exec", exec)
        from telemetry_forwarder.startup.inspect_stub import lend_answers

        lend_answers(self._signatures)

    def take_back(self) -> None:
        """Leave the compilers of others as they were: the warm-up is over, and what is compiled now is not in here."""
        import collections
        import dataclasses
        from re import _compiler  # type: ignore[attr-defined]

        from telemetry_forwarder.startup.inspect_stub import take_back_answers

        take_back_answers()
        _compiler.compile = self._work_out
        del dataclasses.exec, collections.eval  # type: ignore[attr-defined]
        self._code, self._patterns, self._signatures = {}, {}, {}

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        """The import system's question: who has this module?"""
        place = self._modules.get(name)
        if name not in self._deferred:
            return self._spec(name, *place) if place else None
        spec = self._spec(name, *place) if place else self._found_by_others(name, path)
        if spec is not None:
            from telemetry_forwarder.startup.lazy_modules import defer

            defer(spec)
        return spec

    def _spec(self, name: str, file: str, is_package: bool, start: int, size: int) -> ModuleSpec:
        origin = f"{self._lib}/{file}"
        loader = _Loader(name, origin, self._file, self._begin + start, size)
        spec = ModuleSpec(name, loader, origin=origin, is_package=is_package)
        spec.has_location = True
        # Asked for, it would be worked out.
        spec.cached = origin
        if is_package:
            spec.submodule_search_locations = [origin.rpartition("/")[0]]
        return spec

    def _found_by_others(self, name: str, path: "Sequence[str] | None") -> ModuleSpec | None:
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (finder.find_spec(name, path) for finder in others)
        return next(filter(None, found), None)

    def _read_index(self) -> None:
        front = posix.pread(self._file, _FRONT_BYTES, 0)
        if not front.startswith(SIGNATURE):
            raise ForeignBundleError("made for another Python")
        sizes = front[len(SIGNATURE) :]
        modules_bytes = int.from_bytes(sizes[:_SIZE_BYTES], "little")
        tables_bytes = int.from_bytes(sizes[_SIZE_BYTES:], "little")
        index = posix.pread(self._file, modules_bytes + tables_bytes, _FRONT_BYTES)
        self._begin = _FRONT_BYTES + len(index)
        self._modules, self._deferred = marshal.loads(index[:modules_bytes])
        self._code, self._patterns, self._signatures = marshal.loads(index[modules_bytes:])

    def _lend_patterns(self) -> None:
        import _sre  # type: ignore[import-not-found]
        from re import _compiler  # type: ignore[attr-defined]

        patterns, work_out = self._patterns, _compiler.compile

        def look_up(pattern: "Any", flags: int = 0) -> "Any":
            known = patterns.get((pattern, int(flags))) if isinstance(pattern, str | bytes) else None
            # That is what `re._compiler.compile` itself ends with.
            return _sre.compile(pattern, *known) if known else work_out(pattern, flags)

        self._work_out = work_out
        _compiler.compile = look_up

    def _lend_code(self, module: str, name: str, builtin: "Callable[..., Any]") -> None:
        # The module has the source text of functions executed. Its own names come before the builtin ones.
        code = self._code

        def run(text: "Any", *namespaces: "Any") -> "Any":
            return builtin(code.get(text, text), *namespaces)

        setattr(__import__(module), name, run)


class _Loader(SourcelessFileLoader):
    """Loads one module from the bundle; all else that loaders are asked, it answers as if for a file."""

    def __init__(self, name: str, path: str, file: int, start: int, size: int) -> None:
        super().__init__(name, path)
        self._file = file
        self._start = start
        self._size = size

    def create_module(self, spec: ModuleSpec) -> "ModuleType":
        # The import system looks for each of these, and for each that it misses makes an error: 24,000 instructions.
        module = type(sys)(spec.name)
        module.__loader__ = self
        module.__package__ = spec.parent
        module.__file__ = self.path
        module.__dict__["__cached__"] = self.path
        return module

    def get_code(self, fullname: str) -> "CodeType | None":
        try:
            code: CodeType = marshal.loads(posix.pread(self._file, self._size, self._start))
        except (OSError, ValueError, EOFError, TypeError):
            return self._code_of_file(fullname)
        return code

    def _code_of_file(self, fullname: str) -> "CodeType | None":
        # In the layer only our own modules are files as well.
        of_files = SourceFileLoader if self.path.endswith(".py") else SourcelessFileLoader
        try:
            return of_files(fullname, self.path).get_code(fullname)
        except OSError as exc:
            raise ImportError(f"{FILE_NAME} is damaged: no {fullname} in it") from exc
