"""Tasks of reservoir computing: series to forecast, capacities, spoken digits."""

from .series import (
    mackey_glass as mackey_glass,
    narma as narma,
    sine_square as sine_square,
)
