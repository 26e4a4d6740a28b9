"""Kinds of embeddings, one file each; every file of this folder is imported, so that its kind registers itself."""

from importlib import import_module
from pkgutil import iter_modules


def discover() -> None:
    """Import every file of this folder."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


discover()
