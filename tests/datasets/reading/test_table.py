"""Tables of many columns: numbered and found at once, and refused where their samples run along the rows."""

import numpy as np
import pytest

from spinode.datasets.parsing.table import MAX_COLUMNS, Table
from spinode.errors import TraceError


def test_as_many_columns_as_a_table_may_have_are_numbered_and_found():
    column = np.zeros(3)
    wide = Table(("t", *["V"] * (MAX_COLUMNS - 1)), (column,) * MAX_COLUMNS, (None,) * MAX_COLUMNS)
    assert wide.names[:3] == ("t", "V#1", "V#2")
    assert wide.names[-1] == f"V#{MAX_COLUMNS - 1}"
    assert wide.has("V#7")
    assert not wide.has("V")
    assert wide.column(f"V#{MAX_COLUMNS - 1}") is column


def test_a_table_with_its_samples_along_the_rows_is_refused_by_its_shape():
    count = MAX_COLUMNS + 1
    with pytest.raises(TraceError, match=f"{count} columns and 3 rows.*transpose it"):
        Table(("a",) * count, (np.zeros(3),) * count, (None,) * count)
