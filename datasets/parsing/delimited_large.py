"""Delimited text of more than some ten megabytes: the layout is found from the first lines, and the rows are read in blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...typing import Progress
from .blocks import read_columns_in_blocks, read_head, read_tail
from .delimited_layout import SAMPLE_LINES, find_layout
from .delimited_lines import split_comments, split_footer
from .delimited_table import build_table
from .delimited_text import parse_comments
from .grid import Doubtful, Line, read_grid
from .messages import counted
from .table import Table
from .word_table import parse_words


def parse_large(path: Path, progress: Progress | None = None) -> Table:
    """Read the columns of a large file; columns of words among the first rows are left out.

    Raises:
        TraceError: as `parse_delimited`.
    """
    head, offsets = read_head(path)
    comments, content = split_comments([Line(number, line) for number, line in enumerate(head.lines, start=1)])
    layout = find_layout(comments, content)
    names, units = layout.names_and_units()
    doubtful = Doubtful()
    first_rows = layout.rows_with_decimal_points()[:SAMPLE_LINES]
    sample = np.array(read_grid(first_rows, layout.delimiter, names, doubtful=doubtful))
    words = parse_words(names, units, sample, doubtful)
    not_numbers = {*doubtful.words, *doubtful.unreadable}
    for index in doubtful.words:
        # Times and quantities would need every cell of the column as text.
        if names[index]:
            words.left_out[names[index]] = "it does not contain plain numbers, which a large file must"
            names[index] = ""
    tail = read_tail(path)
    _, last_rows = split_comments([Line(number, line.rstrip("\r")) for number, line in enumerate(tail)])
    _, footer = split_footer([*layout.rows[:3], *last_rows], layout.delimiter)
    below = len("\n".join(tail[footer[0].number :])) if footer else 0
    columns = read_columns_in_blocks(
        path,
        offsets[layout.rows[0].number - 1],
        stop=path.stat().st_size - below,
        delimiter=layout.delimiter,
        names=names,
        decimal_comma=layout.decimal_comma,
        first=layout.rows[0].number,
        progress=progress,
        words=not_numbers,
    )
    about = parse_comments(comments)
    table = build_table(layout, names, units, columns, about.remarks)
    metadata = {
        "encoding": head.encoding,
        "delimiter": layout.delimiter or "blanks",
        "decimal_mark": "," if layout.decimal_comma else ".",
        "comments": about.remarks[:SAMPLE_LINES],
        **({"footer": [line.text.strip() for line in footer[:SAMPLE_LINES]]} if footer else {}),
    }
    notes = [f"{counted(len(footer), 'line')} below the table left out: {footer[0].text.strip()}"] if footer else []
    return replace(
        table,
        metadata={**metadata, **table.metadata},
        parameters=about.parameters,
        parameter_units=about.units,
        roles=about.roles,
        interpolation=about.interpolation,
        left_out={**table.left_out, **words.left_out},
        unreadable=words.unreadable,
        notes=(*table.notes, *notes),
    )
