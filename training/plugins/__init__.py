"""Plugins that preserve the past beside any rule; a new one is one file here, which registers itself."""

from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules

from .plugin import Batch as Batch, Plugin as Plugin, plugins as plugins

for _module in _iter_modules(__path__):
    _import_module(f"{__name__}.{_module.name}")
