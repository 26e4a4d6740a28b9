"""Learning rules for any network; a new rule is one file here, which registers itself when the package is imported."""

from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules

from .rule import NetworkRule as NetworkRule, network_rules as network_rules

for _module in _iter_modules(__path__):
    _import_module(f"{__name__}.{_module.name}")
