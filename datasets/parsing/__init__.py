"""Shared parts of the readers of measurement files: tables, rows of numbers, headers, arrays, optional libraries."""
