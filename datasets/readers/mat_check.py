"""The structure of MATLAB files of version 5, looked over before SciPy reads them: its compiled reader trusts types and sizes.

A file is a head of 128 bytes and elements: a tag (type, bytes) and data. Matrices are elements of elements.

Source: MathWorks, "MAT-File Format", chapter 1.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Iterator

from ...errors import TraceError

#: Bytes of a number, by type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_TEXT = {1, 2, 3, 4, 16, 17, 18}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE = 1, 2, 3, 4, 5
_NUMBERS = range(6, 16)
_DEEPEST = 40
_LARGEST = 4_000_000_000


def check(data: bytes) -> None:
    """Refuse a file whose tags contradict each other.

    Raises:
        TraceError: a type that there is not, a size that does not fit, or a matrix of another kind.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise TraceError("this MATLAB file is damaged: its head does not say the order of its bytes.")
    for kind, content in _elements(data[128:], order):
        if kind == _COMPRESSED:
            for inner, unpacked in _elements(_unpacked(content), order):
                _expect(inner == _MATRIX, f"type {inner} within a compressed element")
                _matrix(unpacked, order, 0)
        elif kind == _MATRIX:
            _matrix(content, order, 0)
        else:
            _expect(kind in _SIZES or kind in _TEXT, f"an element of type {kind}")


def _expect(true: bool, what: str) -> None:
    if not true:
        raise TraceError(f"this MATLAB file is damaged or cut off: it has {what}. Save it again.")


def _unpacked(content: bytes) -> bytes:
    engine = zlib.decompressobj()
    try:
        found = engine.decompress(content, _LARGEST)
    except zlib.error as error:
        raise TraceError(f"this MATLAB file is damaged: a compressed element cannot be unpacked ({error}).") from None
    _expect(engine.eof, "a compressed element without its end")
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and data of each element, in 8 bytes where they are small."""
    view, place = memoryview(data), 0
    while place + 8 <= len(view):
        kind, size = struct.unpack_from(f"{order}II", view, place)
        if kind >> 16:
            kind, size, begin = kind & 0xFFFF, kind >> 16, place + 4
            _expect(size <= 4, f"a small element of {size} bytes")
            place += 8
        else:
            begin = place + 8
            # Compressed elements are not padded.
            place = begin + size + (0 if kind == _COMPRESSED else -size % 8)
        _expect(begin + size <= len(view), f"an element of {size} bytes where {len(view) - begin} are left")
        yield kind, bytes(view[begin : begin + size])


def _matrix(data: bytes, order: str, depth: int) -> None:
    if not data:
        return  # an empty cell
    _expect(depth < _DEEPEST, "matrices within matrices without end")
    elements = list(_elements(data, order))
    _expect(len(elements) >= 3, f"a matrix of {len(elements)} elements")
    (flags_kind, flags), (dims_kind, dims), (name_kind, _), *rest = elements
    _expect(flags_kind == 6 and len(flags) == 8 and dims_kind == 5 and name_kind in _TEXT, "a matrix without flags or sizes")
    _expect(len(dims) >= 8 and len(dims) % 4 == 0, "a matrix of less than two dimensions")
    kind, complex_ = flags[0 if order == "<" else 3], bool(flags[1 if order == "<" else 2] & 8)
    sizes = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    _expect(min(sizes) >= 0, "a negative size")
    count = math.prod(sizes)
    if kind in _NUMBERS:
        _expect(len(rest) == 1 + complex_, f"a matrix with {len(rest)} parts")
        for part, content in rest:
            _expect(part in _SIZES, f"numbers of type {part}")
            _expect(len(content) == count * _SIZES[part], f"{len(content)} bytes for {count} numbers")
    elif kind == _CHAR:
        _expect(len(rest) <= 1 and all(part in _TEXT for part, _ in rest), "text of another type")
        _expect(all(len(content) <= 4 * count for _, content in rest) and (count == 0 or bool(rest)), "text of another length")
    elif kind in (_CELL, _STRUCT, _OBJECT):
        _compound(kind, count, rest, order, depth)
    elif kind == _SPARSE:
        _expect(len(rest) == 3 + complex_, f"a sparse matrix with {len(rest)} parts")
        _sparse(sizes, rest, order)
    else:
        raise TraceError(
            f"this MATLAB file holds a matrix of class {kind} (a function or an object), which is not read; save numbers."
        )


def _compound(kind: int, count: int, rest: list[tuple[int, bytes]], order: str, depth: int) -> None:
    fields = 1
    if kind == _OBJECT:
        rest = rest[1:]
    if kind != _CELL:
        _expect(len(rest) >= 2 and rest[0][0] == 5 and len(rest[0][1]) == 4 and rest[1][0] in _TEXT, "a struct without fields")
        length = struct.unpack(f"{order}i", rest[0][1])[0]
        _expect(0 < length <= 64 and len(rest[1][1]) % length == 0, "a struct whose names have no length")
        fields = len(rest[1][1]) // length
        names = [rest[1][1][k : k + length] for k in range(0, len(rest[1][1]), length)]
        _expect(all(b"\0" in name for name in names), "a struct whose names have no end")
        rest = rest[2:]
    _expect(len(rest) == count * fields, f"{len(rest)} values for {count * fields} places")
    for part, content in rest:
        _expect(part == _MATRIX, f"an element of type {part} within a cell or a struct")
        _matrix(content, order, depth + 1)


def _sparse(sizes: tuple[int, ...], rest: list[tuple[int, bytes]], order: str) -> None:
    (row_kind, rows), (column_kind, columns), *values = rest
    _expect(len(sizes) == 2 and row_kind == column_kind == 5, "a sparse matrix whose indices are no whole numbers")
    _expect(len(columns) == 4 * (sizes[1] + 1) and len(rows) % 4 == 0, "a sparse matrix of another size")
    ends = struct.unpack(f"{order}{sizes[1] + 1}i", columns)
    _expect(ends[0] == 0 and all(0 <= a <= b for a, b in itertools.pairwise(ends)), "a sparse matrix out of order")
    _expect(ends[-1] <= len(rows) // 4, "a sparse matrix with too few rows")
    for part, content in values:
        _expect(part in _SIZES and len(content) >= ends[-1] * _SIZES[part], "a sparse matrix with too few numbers")
    found = struct.unpack(f"{order}{len(rows) // 4}i", rows)
    _expect(all(0 <= row < max(sizes[0], 1) for row in found), "a sparse matrix with rows outside")
