"""Modules that are loaded on first use: libraries import much that we never call.

Not `importlib.util.LazyLoader`: CPython's `import` reads the `__spec__` of a module that is already in `sys.modules`,
so a second `import` would load it. Here, the attributes that the import system reads load nothing.
"""

from _frozen_importlib import ModuleSpec, _ModuleLockManager  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any


def make_lazy(spec: ModuleSpec) -> None:
    """Make the module that is created from *spec* load on first use."""
    if not isinstance(spec.loader, _LazyLoader):
        spec.loader = _LazyLoader(spec.loader)  # type: ignore[assignment]


def substitute(module: ModuleType, name: str, value: Any) -> None:
    """Let *module* return *value* for *name* without being loaded; no effect once it is loaded."""
    if type(module) is _LazyModule:
        module.__dict__.setdefault(_SUBSTITUTES, {})[name] = value


def restore(module: ModuleType) -> None:
    """Remove all substitutes from *module*."""
    module.__dict__.pop(_SUBSTITUTES, None)


# Attributes of a module that is not loaded yet.
_SUBSTITUTES = "__telemetry_forwarder_substitutes__"
_IS_LOADING = "__telemetry_forwarder_is_loading__"
# Attributes that the import system reads and sets.
_IMPORT_ATTRIBUTES = frozenset(
    {"__class__", "__dict__", "__name__", "__spec__", "__loader__", "__package__", "__path__", "__file__"}
) | {"__cached__"}


class _LazyLoader:
    """Takes the place of a loader until it has created the module."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _LazyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self._loader  # type: ignore[union-attr]


class _LazyModule(ModuleType):
    def __getattribute__(self, name: str) -> Any:
        if name not in _IMPORT_ATTRIBUTES:
            substitutes = self.__dict__.get(_SUBSTITUTES, ())
            if name in substitutes:
                return substitutes[name]
            _load(self)
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system sets a submodule as an attribute of its package.
        if name not in _IMPORT_ATTRIBUTES and not isinstance(value, ModuleType):
            _load(self)
        ModuleType.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        _load(self)
        ModuleType.__delattr__(self, name)


def _load(module: ModuleType) -> None:
    """Load *module* once, from any thread. Raises what its code raises; the next use then loads it again."""
    spec: Any = module.__spec__
    # The lock of the import system: it detects deadlocks between imports.
    with _ModuleLockManager(spec.name):
        # A module reads its own attributes while it is loading.
        if type(module) is not _LazyModule or module.__dict__.get(_IS_LOADING):
            return
        module.__dict__[_IS_LOADING] = True
        try:
            spec.loader.exec_module(module)
        finally:
            del module.__dict__[_IS_LOADING]
        restore(module)
        module.__class__ = ModuleType  # type: ignore[assignment]
