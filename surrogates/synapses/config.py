"""`SynapseConfig`: the settings of `fit_synapse`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from ...validation import number, one_of, seed_number, whole_number, whole_numbers


@dataclass(frozen=True)
class SynapseConfig:
    """Settings of `fit_synapse`.

    Attributes:
        scale: "linear" or "log" conductance; None to choose by the data.
        hidden: Widths of the network's hidden layers; None to choose by the number of reads.
        shape: Number of latent parameters that are inputs of the network, used from ten devices on. None for one in addition to
            range and rates; where voltage or width vary, one and nothing else, or two if the evidence favours it, see `Drift`.
        use_voltage: Amplitudes [V] of the SET and RESET pulses in later use; None for the median of those recorded.
        use_width: Width [s] of the pulses in later use, likewise.
        rounds: Maximum number of rounds over network, latent parameters and noise.
        iterations: L-BFGS iterations of the network in each round; None for 40, or 150 where voltage or width vary.
        seed: Seed of initial weights and of samples.

    Raises:
        ConfigError: a setting outside its range.

    Example:
        >>> import spinode
        >>> config = spinode.surrogates.SynapseConfig(rounds=2, hidden=8)
        >>> config.rounds, config.hidden, config.scale
        (2, (8,), None)
    """

    scale: str | None = None
    hidden: tuple[int, ...] | None = None
    shape: int | None = None
    use_voltage: tuple[float, float] | None = None
    use_width: float | None = None
    rounds: int = 8
    iterations: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checked = {
            "scale": one_of("scale", self.scale, ("linear", "log", None)),
            "hidden": None if self.hidden is None else whole_numbers("hidden", self.hidden, 1),
            "shape": None if self.shape is None else whole_number("shape", self.shape),
            "use_voltage": None if self.use_voltage is None else _amplitudes(self.use_voltage),
            "use_width": None if self.use_width is None else number("use_width", self.use_width, 0, above=True, unit="s"),
            "rounds": whole_number("rounds", self.rounds, 1),
            "iterations": None if self.iterations is None else whole_number("iterations", self.iterations, 1),
            "seed": seed_number("seed", self.seed),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def _amplitudes(voltage: Any) -> tuple[float, float]:
    """Return the amplitudes of SET and RESET; one number is taken for both."""
    values = tuple(voltage) if isinstance(voltage, tuple | list) else (voltage,)
    values = values * 2 if len(values) == 1 else values
    if len(values) != 2:
        raise ConfigError(
            f"use_voltage is {voltage!r}; expected two amplitudes [V], of SET and of RESET pulses, such as (1.2, 1.2)."
        )
    up, down = (number("use_voltage", value, 0, above=True, unit="V") for value in values)
    return up, down
