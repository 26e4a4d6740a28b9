"""`SynapseConfig`: the settings of `fit_synapse`."""

from __future__ import annotations

from dataclasses import dataclass

from ...validation import one_of, seed_number, whole_number, whole_numbers


@dataclass(frozen=True)
class SynapseConfig:
    """Settings of `fit_synapse`.

    Attributes:
        scale: "linear" or "log" conductance; None to choose by the data.
        hidden: Widths of the network's hidden layers; None to choose by the number of reads.
        shape: Number of latent parameters that are inputs of the network, in addition to range and rates; used from ten
            devices on.
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
    shape: int = 1
    rounds: int = 8
    iterations: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checked = {
            "scale": one_of("scale", self.scale, ("linear", "log", None)),
            "hidden": None if self.hidden is None else whole_numbers("hidden", self.hidden, 1),
            "shape": whole_number("shape", self.shape),
            "rounds": whole_number("rounds", self.rounds, 1),
            "iterations": None if self.iterations is None else whole_number("iterations", self.iterations, 1),
            "seed": seed_number("seed", self.seed),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
