"""What identifies a piece of code: its version in a library, or a digest of its bytecode where it is the user's own.

The bytecode is what runs. The source is not used: that of a lambda is its whole line, which may contain two, and a file that
was edited after its import shows another program than the one that runs.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import CodeType

from .version import __version__

_PYTHON = "python {}.{}".format(*sys.version_info[:2])
_STANDARD = Path(sysconfig.get_path("stdlib")).resolve()


@cache
def library_version(module: str | None) -> str | None:
    """Return the version of the library that a module belongs to, empty for Python's own; None for the user's own module.

    Example:
        >>> library_version("json.decoder"), library_version("__main__")
        ('', None)
    """
    package = (module or "builtins").partition(".")[0]
    if package == "spinode":
        return __version__
    if package == "__main__":  # also where a profiler or debugger of a library runs the user's script
        return None
    file = getattr(sys.modules.get(module or "builtins"), "__file__", None)
    if file is None:
        return "" if package in sys.stdlib_module_names else None
    path = Path(file).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return str(getattr(sys.modules.get(package), "__version__", ""))
    return "" if path.is_relative_to(_STANDARD) else None


def code_digest(code: CodeType, doc: str | None = None) -> str:
    """Return a digest of bytecode, constants and names, with those of nested functions.

    Comments, line numbers and the docstring have no influence; another minor version of Python has.

    Args:
        code: Code object of a function.
        doc: Docstring of the function.

    Example:
        >>> first, same, other = (lambda x: x + 1), (lambda x: x + 1), (lambda x: x + 2)
        >>> [code_digest(each.__code__) == code_digest(first.__code__) for each in (same, other)]
        [True, False]
    """
    digest = hashlib.sha256()
    _update(digest, code, doc)
    return f"{_PYTHON} code sha256 {digest.hexdigest()[:16]}"


def code_names(code: CodeType) -> set[str]:
    """Return the names of globals and attributes that code uses, with those of nested functions."""
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(code_names, nested))


def _update(digest: hashlib._Hash, code: CodeType, doc: str | None) -> None:
    for part in (code.co_code, getattr(code, "co_exceptiontable", b"")):
        digest.update(len(part).to_bytes(8, "little") + part)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    digest.update(repr((counts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)).encode())
    for position, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType):
            _update(digest, constant, None)
        elif not (position == 0 and isinstance(constant, str) and constant == doc):
            digest.update(_constant(constant).encode())


def _constant(value: object) -> str:
    """Return the text of a constant; the order of a set differs between processes."""
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(_constant, value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    return repr(value)
