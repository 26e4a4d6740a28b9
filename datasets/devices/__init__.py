"""Reference physics of memory devices: each model is one file, a `spinode.Synapse` that also generates traces.

A new model needs nothing but its file here: every module of this folder is imported, and each registers its class with
`spinode.contracts.synapse_registry` under the name that the command line and recipes use.
"""

from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules


def discover() -> None:
    """Import every module of this folder, so that its devices are registered."""
    for module in _iter_modules(__path__):
        _import_module(f"{__name__}.{module.name}")


discover()
