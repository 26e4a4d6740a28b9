"""NumPy `.npz`: arrays of one length are channels, scalars are parameters; of several lengths, one is chosen by `part`.

An optional member `units` contains a JSON object as text, such as '{"t": "ns", "V": "mV"}'. Pickled members are refused:
loading one can run any code.
"""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.arrays import NamedArray, table_from_arrays
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.written_trace import KEY, table_of_written_trace


def sniff(head: bytes) -> bool:
    """Return True for a ZIP archive whose first member is a NumPy array."""
    return (head.startswith(b"PK\x03\x04") and b".npy" in head[:300]) or head.startswith(b"PK\x05\x06")


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the members of an .npz file as columns and parameters.

    Raises:
        SeveralParts: arrays of several lengths, and no `part`.
        TraceError: a damaged archive, a member that is pickled or not numeric, or none that can be a channel.
    """
    members = _members(path)
    bad = next((name for name, array in members.items() if array.dtype.kind not in "buifcSU"), None)
    if bad is not None:
        raise TraceError(f"member {bad!r} is of type {members[bad].dtype}; a channel must contain real numbers.")
    units = {} if KEY in members else _units(members.pop("units", None))
    arrays = [NamedArray("", name, array, units.get(name)) for name, array in members.items()]
    return table_of_written_trace(arrays, {}) or table_from_arrays(arrays, part, {})


def _members(path: Path) -> dict[str, Any]:
    """Return all members, each an array."""
    members = {}
    name = ""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                members[name] = archive[name]
                if not isinstance(members[name], np.ndarray):
                    raise TraceError(f"member {name!r} is not a NumPy array; an .npz file must contain only arrays.")
    except ValueError as error:
        if not name:
            raise TraceError("the file is not a NumPy archive, or its first bytes are damaged; save it again.") from None
        if "allow_pickle" not in str(error):
            raise TraceError(f"member {name!r} is damaged ({error}); save the file again.") from None
        raise TraceError(
            f"member {name!r} is a pickled object array, which could run code when it is loaded; "
            "save it as plain numbers, for example with numpy.asarray(x, dtype=float)."
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise TraceError(f"the archive is damaged or cut off ({error}); save the file again.") from None
    except (SyntaxError, tokenize.TokenError, TypeError, KeyError, OverflowError) as error:
        raise TraceError(f"member {name!r} is damaged ({error}); save the file again.") from None
    except MemoryError:
        raise TraceError(f"member {name!r} claims more values than fit into memory; is the file damaged?") from None
    return members


def _units(member: Any) -> dict[str, str]:
    if member is None:
        return {}
    try:
        units = json.loads(str(member))
    except (ValueError, RecursionError):
        units = None
    if not isinstance(units, dict) or not all(isinstance(unit, str) for unit in units.values()):
        raise TraceError(
            "the member 'units' must contain one JSON object as text, for example "
            'numpy.savez(path, t=t, V=v, units=\'{"t": "ns", "V": "mV"}\').'
        )
    return units


register_reader("npz", sniff, read, priority=10)
