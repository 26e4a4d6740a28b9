"""Families of files that register themselves: one new file in the folder is one new member."""

from __future__ import annotations

import functools
import importlib
import pkgutil


@functools.cache
def import_modules(package: str) -> None:
    """Import every module of a package once, so that each can register what it defines."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
