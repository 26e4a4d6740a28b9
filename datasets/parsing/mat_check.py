"""The structure of MATLAB files of version 5, checked before SciPy reads them: its compiled reader trusts types and sizes.

A file is a header of 128 bytes and elements: a tag (type, bytes) and data. Matrices are elements of elements.

Source: MathWorks, "MAT-File Format", chapter 1.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Iterator

from ...errors import TraceError

#: Bytes per number, by type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_TEXT = {1, 2, 3, 4, 16, 17, 18}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE = 1, 2, 3, 4, 5
_NUMBERS = range(6, 16)
_MAX_DEPTH = 40
_MAX_UNPACKED = 4_000_000_000


def check_mat(data: bytes) -> None:
    """Refuse a file whose tags contradict each other.

    Raises:
        TraceError: an unknown type, a size that does not fit, or a matrix of another kind.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise TraceError("this MATLAB file is damaged: its header does not give the byte order.")
    for kind, content in _elements(data[128:], order):
        if kind == _COMPRESSED:
            for inner, unpacked in _elements(_unpacked(content), order):
                _expect(inner == _MATRIX, f"type {inner} within a compressed element")
                _matrix(unpacked, order, 0)
        elif kind == _MATRIX:
            _matrix(content, order, 0)
        else:
            _expect(kind in _SIZES or kind in _TEXT, f"an element of type {kind}")


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise TraceError(f"this MATLAB file is damaged or cut off: it has {otherwise}. Save it again.")


def _unpacked(content: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        unpacked = decompressor.decompress(content, _MAX_UNPACKED)
    except zlib.error as error:
        raise TraceError(f"this MATLAB file is damaged: a compressed element cannot be unpacked ({error}).") from None
    _expect(decompressor.eof, "a compressed element without its end")
    return unpacked


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and data of each element; small ones have their data within the 8 bytes of the tag."""
    view, position = memoryview(data), 0
    while position + 8 <= len(view):
        kind, size = struct.unpack_from(f"{order}II", view, position)
        if kind >> 16:
            kind, size, begin = kind & 0xFFFF, kind >> 16, position + 4
            _expect(size <= 4, f"a small element of {size} bytes")
            position += 8
        else:
            begin = position + 8
            # Compressed elements are not padded.
            position = begin + size + (0 if kind == _COMPRESSED else -size % 8)
        _expect(begin + size <= len(view), f"an element of {size} bytes of which the file has {len(view) - begin}")
        yield kind, bytes(view[begin : begin + size])


def _matrix(data: bytes, order: str, depth: int) -> None:
    if not data:
        return  # an empty cell
    _expect(depth < _MAX_DEPTH, "too many matrices within matrices")
    elements = list(_elements(data, order))
    _expect(len(elements) >= 3, f"a matrix of {len(elements)} elements")
    (flags_kind, flags), (sizes_kind, packed_sizes), (name_kind, _), *values = elements
    _expect(flags_kind == 6 and len(flags) == 8 and sizes_kind == 5 and name_kind in _TEXT, "a matrix without flags or sizes")
    _expect(len(packed_sizes) >= 8 and len(packed_sizes) % 4 == 0, "a matrix of less than two dimensions")
    kind, is_complex = flags[0 if order == "<" else 3], bool(flags[1 if order == "<" else 2] & 8)
    sizes = struct.unpack(f"{order}{len(packed_sizes) // 4}i", packed_sizes)
    _expect(min(sizes) >= 0, "a negative size")
    count = math.prod(sizes)
    if kind in _NUMBERS:
        _expect(len(values) == 1 + is_complex, f"a matrix with {len(values)} parts")
        for element, content in values:
            _expect(element in _SIZES, f"numbers of type {element}")
            _expect(len(content) == count * _SIZES[element], f"{len(content)} bytes for {count} numbers")
    elif kind == _CHAR:
        _expect(len(values) <= 1 and all(element in _TEXT for element, _ in values), "text of another type")
        _expect(
            all(len(content) <= 4 * count for _, content in values) and (count == 0 or bool(values)), "text of another length"
        )
    elif kind in (_CELL, _STRUCT, _OBJECT):
        _compound(kind, count, values, order, depth)
    elif kind == _SPARSE:
        _expect(len(values) == 3 + is_complex, f"a sparse matrix with {len(values)} parts")
        _sparse(sizes, values, order)
    else:
        raise TraceError(
            f"this MATLAB file contains a matrix of class {kind} (a function or an object), which is not read; save numbers."
        )


def _compound(kind: int, count: int, values: list[tuple[int, bytes]], order: str, depth: int) -> None:
    fields = 1
    if kind == _OBJECT:
        values = values[1:]
    if kind != _CELL:
        _expect(
            len(values) >= 2 and values[0][0] == 5 and len(values[0][1]) == 4 and values[1][0] in _TEXT,
            "a struct without fields",
        )
        length = struct.unpack(f"{order}i", values[0][1])[0]
        _expect(0 < length <= 64 and len(values[1][1]) % length == 0, "a struct whose names have no valid length")
        fields = len(values[1][1]) // length
        names = [values[1][1][k : k + length] for k in range(0, len(values[1][1]), length)]
        _expect(all(b"\0" in name for name in names), "a struct whose names have no end")
        values = values[2:]
    _expect(len(values) == count * fields, f"{len(values)} values for {count * fields} elements")
    for element, content in values:
        _expect(element == _MATRIX, f"an element of type {element} within a cell or a struct")
        _matrix(content, order, depth + 1)


def _sparse(sizes: tuple[int, ...], elements: list[tuple[int, bytes]], order: str) -> None:
    (row_kind, rows), (column_kind, columns), *values = elements
    _expect(len(sizes) == 2 and row_kind == column_kind == 5, "a sparse matrix whose indices are not whole numbers")
    _expect(len(columns) == 4 * (sizes[1] + 1) and len(rows) % 4 == 0, "a sparse matrix of another size")
    ends = struct.unpack(f"{order}{sizes[1] + 1}i", columns)
    _expect(ends[0] == 0 and all(0 <= a <= b for a, b in itertools.pairwise(ends)), "a sparse matrix out of order")
    _expect(ends[-1] <= len(rows) // 4, "a sparse matrix with too few rows")
    for element, content in values:
        _expect(element in _SIZES and len(content) >= ends[-1] * _SIZES[element], "a sparse matrix with too few numbers")
    row_indices = struct.unpack(f"{order}{len(rows) // 4}i", rows)
    _expect(all(0 <= row < max(sizes[0], 1) for row in row_indices), "a sparse matrix with rows outside")
