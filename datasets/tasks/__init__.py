"""Tasks of reservoir computing: time series to forecast, memory capacity, spoken digits."""

from .digits import SpokenDigits as SpokenDigits, digit_inputs as digit_inputs, spoken_digits as spoken_digits
from .memory import capacity as capacity, delayed as delayed, parity as parity, random_bits as random_bits
from .series import mackey_glass as mackey_glass, narma as narma, sine_square as sine_square
