"""Modules that are loaded when somebody touches them: much is imported by others for what we never ask of it.

`importlib.util.LazyLoader` is not it: CPython's `import` looks at the `__spec__` of a module that it already knows, so
there the second `import` of a module loads it. Here the names that the import system asks for load nothing.
"""

from _frozen_importlib import ModuleSpec, _ModuleLockManager  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any


def defer(spec: ModuleSpec) -> None:
    """Let the module that is made of *spec* wait until it is touched."""
    if not isinstance(spec.loader, _Deferring):
        spec.loader = _Deferring(spec.loader)  # type: ignore[assignment]


def lend(module: ModuleType, name: str, value: Any) -> None:
    """Let a module that is still to be loaded have *name* before; any other stays as it is."""
    if type(module) is _Deferred:
        module.__dict__.setdefault(_LENT, {})[name] = value


def take_back(module: ModuleType) -> None:
    """Let it have nothing any more that was lent."""
    module.__dict__.pop(_LENT, None)


# Attributes of a module that waits.
_LENT = "__telemetry_forwarder_lent__"
_IS_LOADING = "__telemetry_forwarder_is_loading__"
# What the import system asks a module for, and sets.
_OF_IMPORTS = frozenset(
    {"__class__", "__dict__", "__name__", "__spec__", "__loader__", "__package__", "__path__", "__file__"}
) | {"__cached__"}


class _Deferring:
    """In the place of a loader, which it gives back when it has made the module."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self._loader  # type: ignore[union-attr]


class _Deferred(ModuleType):
    def __getattribute__(self, name: str) -> Any:
        if name not in _OF_IMPORTS:
            lent = self.__dict__.get(_LENT, ())
            if name in lent:
                return lent[name]
            _load(self)
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system gives a package its modules.
        if name not in _OF_IMPORTS and not isinstance(value, ModuleType):
            _load(self)
        ModuleType.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        _load(self)
        ModuleType.__delattr__(self, name)


def _load(module: ModuleType) -> None:
    """Load *module*, once, whichever thread is first. Raises what its code does, and begins anew the next time."""
    spec: Any = module.__spec__
    # The lock that imports of this module take: it notices a deadlock.
    with _ModuleLockManager(spec.name):
        # Loading, it touches itself.
        if type(module) is not _Deferred or module.__dict__.get(_IS_LOADING):
            return
        module.__dict__[_IS_LOADING] = True
        try:
            spec.loader.exec_module(module)
        finally:
            del module.__dict__[_IS_LOADING]
        take_back(module)
        module.__class__ = ModuleType  # type: ignore[assignment]
