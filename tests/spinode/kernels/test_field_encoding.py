"""The numbers by which the compiled code knows a field, and the independence of the kernels from the vector fields."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

import spinode.kernels
from spinode.dynamics.field import ACTIVATIONS, MLPField
from spinode.dynamics.integrate import STEPS
from spinode.dynamics.layout import Layout, field_layout
from spinode.kernels import field_encoding

VALID = [2, 1, 2, 0, 1, 16, 16]


@given(
    state=st.integers(1, 5),
    drive=st.integers(0, 3),
    hidden=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    skip=st.booleans(),
)
def test_weight_count_is_the_number_of_parameters(state, drive, hidden, skip):
    field = MLPField(state, drive, state, hidden=hidden, skip=skip)
    count = sum(parameter.numel() for parameter in field.parameters())
    assert field_encoding.weight_count(state, drive, state, hidden, skip) == count
    assert field_layout(field).weights == count


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_encoding_can_be_decoded(activation):
    layout = Layout(3, 1, 2, (8, 4), activation, False, 5)
    assert field_encoding.is_valid(layout.encode())
    assert Layout.decode(layout.encode(), 5) == layout


def test_names_are_those_of_the_vector_fields_and_methods():
    assert tuple(ACTIVATIONS) == field_encoding.ACTIVATIONS
    assert set(field_encoding.METHODS) == set(STEPS)


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        VALID[:5],
        [2, 1, 3, 0, 1, 16],  # more rates than states
        [2, 1, 0, 0, 1, 16],  # no rates
        [2, -1, 2, 0, 1, 16],  # negative drive
        [2, 1, 2, 4, 1, 16],  # unknown activation
        [2, 1, 2, 0, 2, 16],  # neither with nor without a linear path
        [2, 1, 2, 0, 1, 0],  # empty layer
        [2, 1, 2, 0, 1, field_encoding.MAX_WIDTH + 1],
        [2, 1, 2, 0, 1, *[4] * (field_encoding.MAX_DEPTH + 1)],
    ],
    ids=str,
)
def test_invalid_numbers_are_not_a_field(numbers):
    assert field_encoding.is_valid(VALID)
    assert not field_encoding.is_valid(numbers)


def test_kernels_import_nothing_of_the_folders_that_use_them():
    folder = Path(spinode.kernels.__file__).parent
    imported = {
        node.module
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 2
    }
    assert imported <= {"errors", "typing", "validation"}
