"""Settings of `fit_stochastic`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ....validation import number, seed_number, whole_number, whole_numbers

#: Largest number of past outputs that the state can contain.
MAX_ORDER = 16


@dataclass(frozen=True)
class StochasticConfig:
    """Settings of `fit_stochastic`.

    Attributes:
        order: Number of past outputs in the state; None chooses from 1 to 4 by the likelihood of the validation samples.
        hidden: Widths of the hidden layers.
        iterations: Largest number of L-BFGS steps for each order.
        validation: Share at the end of each recording that is kept out of the fit; it stops the fit and chooses the order.
        ridge: Penalty on the squared weights, relative to the log likelihood per sample.
        seed: Seed of the initial weights.

    Raises:
        ConfigError: a value outside its range.

    Example:
        >>> StochasticConfig(hidden=16).hidden
        (16,)
    """

    order: int | None = None
    hidden: tuple[int, ...] = (24, 24)
    iterations: int = 300
    validation: float = 0.15
    ridge: float = 1e-6
    seed: int = 0

    def __post_init__(self) -> None:
        checked = {
            "order": None if self.order is None else whole_number("order", self.order, 1, MAX_ORDER),
            "hidden": whole_numbers("hidden", self.hidden),
            "iterations": whole_number("iterations", self.iterations, 1),
            "validation": number("validation", self.validation, 0.02, 0.5),
            "ridge": number("ridge", self.ridge, 0),
            "seed": seed_number("seed", self.seed),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
        return {**asdict(self), "hidden": list(self.hidden)}
