"""Reads one archive of the byte code, generated code and compiled patterns that the warm-up needs.

`layer/recipe/bundling.py` writes it; what it does not contain is found and compiled as usual. In the layer, all modules
but our own exist only in it. It patches Python itself:

- `sys.meta_path`, until the process ends: the bundle is the first finder.
- `re._compiler.compile`, until `restore` at the end of the warm-up: returns patterns compiled at build time.
- `dataclasses.exec`, `collections.eval` (for `namedtuple`) and `typing.compile` (for forward references), until
  `restore`: use code compiled at build time. The first call of `compile` would make a class of each kind of syntax.
- `inspect.signature`, `get_annotations`, `iscoroutinefunction`, `unwrap`, until `restore`: see `inspect_stub`.
- Names of `opentelemetry.metrics` and `typing_extensions`, until `restore`: see `sdk_stub`.
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
# Byte code and compiled patterns are only valid for the release of Python that wrote them.
SIGNATURE = b"telemetry-forwarder bundle 1 %08x\n" % sys.hexversion
_SIZE_BYTES = 8
# The folder that contains our package.
_OUR_LIB = __file__.rsplit("/", 3)[0]
_HEADER_BYTES = len(SIGNATURE) + 2 * _SIZE_BYTES


class IncompatibleBundleError(ForwarderError):
    """The archive was written for another Python, or its header is damaged."""


class Bundle:
    """An open archive and its index."""

    def __init__(self, lib: str = _OUR_LIB) -> None:
        """Open `warm-up.bundle` in *lib*; its modules get the paths that they would have as files there.

        Raises `OSError` if there is none, `IncompatibleBundleError`, and `ValueError`, `EOFError` or `TypeError` if its
        index is damaged.
        """
        self._lib = lib
        self._modules: dict[str, tuple[str, bool, int, int]] = {}
        self._lazy: tuple[str, ...] = ()
        self._code: dict[str, CodeType] = {}
        self._patterns: dict[tuple[str | bytes, int], tuple[Any, ...]] = {}
        self._signatures: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        self._compile_pattern: Callable[..., Any] | None = None
        self._file = posix.open(f"{lib}/{FILE_NAME}", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            self._read_index()
        except BaseException:
            posix.close(self._file)
            raise

    def install(self) -> None:
        """Apply the patches listed above."""
        sys.meta_path.insert(0, self)
        # The order matters: each of these imports already uses the patches before it.
        self._patch_code("collections", "eval", eval)
        self._patch_patterns()
        self._patch_code("typing", "compile", _compile)
        self._patch_code("dataclasses", "exec", exec)
        from telemetry_forwarder.startup import inspect_stub

        inspect_stub.install(self._signatures)
        from telemetry_forwarder.startup import sdk_stub

        sdk_stub.install()

    def restore(self) -> None:
        """Undo all patches but the finder: code that is compiled after the warm-up is not in the archive."""
        import collections
        import dataclasses
        import typing
        from re import _compiler  # type: ignore[attr-defined]

        from telemetry_forwarder.startup import inspect_stub, sdk_stub

        inspect_stub.restore()
        sdk_stub.restore()
        _compiler.compile = self._compile_pattern
        del dataclasses.exec, collections.eval, typing.compile  # type: ignore[attr-defined]
        self._code, self._patterns, self._signatures = {}, {}, {}

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        """Return the spec of a module in the archive, or of a module to load lazily; the finder's interface."""
        entry, is_lazy = self._modules.get(name), name in self._lazy
        spec = self._spec(name, *entry) if entry else None
        if is_lazy and spec is None:
            others = sys.meta_path[sys.meta_path.index(self) + 1 :]
            spec = next(filter(None, (finder.find_spec(name, path) for finder in others)), None)
        if is_lazy and spec is not None:
            from telemetry_forwarder.startup.lazy_modules import make_lazy

            make_lazy(spec)
        return spec

    def _spec(self, name: str, file: str, is_package: bool, start: int, size: int) -> ModuleSpec:
        origin = f"{self._lib}/{file}"
        loader = _Loader(name, origin, self._file, self._code_offset + start, size)
        spec = ModuleSpec(name, loader, origin=origin, is_package=is_package)
        spec.has_location = True
        # Set here, because the property would otherwise compute a path.
        spec.cached = origin
        if is_package:
            spec.submodule_search_locations = [origin.rpartition("/")[0]]
        return spec

    def _read_index(self) -> None:
        header = posix.pread(self._file, _HEADER_BYTES, 0)
        if not header.startswith(SIGNATURE):
            raise IncompatibleBundleError("written for another Python, or damaged")
        sizes = header[len(SIGNATURE) :]
        modules_bytes = int.from_bytes(sizes[:_SIZE_BYTES], "little")
        tables_bytes = int.from_bytes(sizes[_SIZE_BYTES:], "little")
        index = posix.pread(self._file, modules_bytes + tables_bytes, _HEADER_BYTES)
        self._code_offset = _HEADER_BYTES + len(index)
        self._modules, self._lazy = marshal.loads(index[:modules_bytes])
        self._code, self._patterns, self._signatures = marshal.loads(index[modules_bytes:])

    def _patch_patterns(self) -> None:
        import _sre  # type: ignore[import-not-found]
        from re import _compiler  # type: ignore[attr-defined]

        patterns, compile_pattern = self._patterns, _compiler.compile

        def look_up(pattern: "Any", flags: int = 0) -> "Any":
            compiled = patterns.get((pattern, int(flags))) if isinstance(pattern, str | bytes) else None
            # `re._compiler.compile` itself ends with this call.
            return _sre.compile(pattern, *compiled) if compiled else compile_pattern(pattern, flags)

        self._compile_pattern = compile_pattern
        _compiler.compile = look_up

    def _patch_code(self, module: str, name: str, builtin: "Callable[..., Any]") -> None:
        # The module calls it on generated source; a module-level name shadows the builtin.
        code = self._code

        def run(text: "Any", *namespaces: "Any") -> "Any":
            return builtin(code.get(text, text), *namespaces)

        setattr(__import__(module), name, run)


def _compile(text: "str | CodeType", *arguments: "Any") -> "Any":
    return compile(text, *arguments) if isinstance(text, str) else text


class _Loader(SourcelessFileLoader):
    """Loads one module from the archive; in all other respects a loader of the file that the module would be."""

    def __init__(self, name: str, path: str, file: int, start: int, size: int) -> None:
        super().__init__(name, path)
        self._file = file
        self._start = start
        self._size = size

    def create_module(self, spec: ModuleSpec) -> "ModuleType":
        # For each attribute that is missing here, the import system would raise and catch an AttributeError.
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
        # In the layer, only our own modules also exist as files.
        loader = SourceFileLoader if self.path.endswith(".py") else SourcelessFileLoader
        try:
            return loader(fullname, self.path).get_code(fullname)
        except OSError as exc:
            raise ImportError(f"{FILE_NAME} is damaged: it does not contain {fullname}") from exc
