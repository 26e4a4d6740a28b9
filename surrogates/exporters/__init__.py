"""Surrogates as programs that run without this package, one file for each target."""

from .export import export as export
