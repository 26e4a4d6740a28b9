"""`MetaplasticQNN`: a perceptron of few levels whose hidden weights resist unlearning."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from ...contracts.synapse import Synapse
from ...contracts.task_stream import TaskStream
from ...errors import ConfigError
from ...validation import number, one_of, whole_number
from ..layers.quantised import RELATIVE_WIDTH, QuantisedLinear
from ..rules.levels import half_spacing, level_shares
from .metaplastic import MetaplasticBNN

#: Smallest share of the weights at a level that counts as in use.
IN_USE = 0.01


class MetaplasticQNN(MetaplasticBNN):
    """A perceptron of few levels with metaplastic hidden weights.

    Its weights are the hidden ones rounded to levels, evenly spaced from -1 to 1; the rule damps steps towards the next
    transition. Rate, initial width and distance from the transition are in units of half the spacing of the levels, h = 1 /
    (levels - 1), so that one setting fits any number of levels. With two levels and signs as activation it equals
    `MetaplasticBNN`. With a synapse, levels are conductance differences of pairs, written by write and verify when they change
    and read with noise, while the hidden weights remain digital.

    Hidden weights that begin at the inner transition hardly get beyond it: with four levels or more the two or three inner ones
    are then nearly all that the network uses. Its `footprint` has the share of the weights at each level.

    Args:
        levels: Number of levels.
        activation: "relu"; "sign", as in the binary network, which costs accuracy; or a number of bits, see
            `QuantisedActivation`.
        metaplasticity: m, one number, or one for each layer.
        relative_rate: Learning rate of hidden weights, in units of h.
        relative_width: Width of the uniform distribution of initial hidden weights around a transition, in units of h.
        init_at: Transitions at which hidden weights begin: the "inner" ones, next to zero, or "all".
        norm_rate: Learning rate of the norms.

    The other arguments are those of `MetaplasticReal`, except `rate` and `init_width`, which are refused: they were in units of
    the weight.

    Raises:
        ConfigError: settings out of range; devices whose steps are too coarse for the levels.

    Source: after D'Agostino et al., AICAS (2023), arXiv:2306.12142; layer sizes, levels and the form of the rule are ours.
    """

    rule = "qnn"
    _activation = "relu"
    #: Settings in units of the weight, and those in units of half the spacing that have taken their place.
    replaced_settings: ClassVar[dict[str, str]] = {"rate": "relative_rate", "init_width": "relative_width"}

    def __init__(
        self,
        stream: TaskStream,
        *,
        levels: int = 4,
        metaplasticity: Any = 3.0,
        relative_rate: float = 0.005,
        relative_width: float = RELATIVE_WIDTH,
        init_at: str = "inner",
        norm_rate: float = 0.005,
        synapse: Synapse | None = None,
        **settings: Any,
    ) -> None:
        levels = whole_number("levels", levels, 2)
        h = half_spacing(levels)
        self._refuse_replaced(settings, levels)
        if settings.get("storage", "digital") != "digital":
            raise ConfigError(f"storage is {settings['storage']!r}; expected 'digital', the only one for quantised networks.")
        own = {
            "levels": levels,
            "relative_rate": number("relative_rate", relative_rate, 0, above=True),
            "relative_width": number("relative_width", relative_width, 0, above=True),
            "init_at": one_of("init_at", init_at, ("inner", "all")),
        }
        self._levels = levels
        self._init_at = own["init_at"]
        settings |= {"rate": own["relative_rate"] * h, "init_width": own["relative_width"] * h, "norm_rate": norm_rate}
        super().__init__(stream, metaplasticity=metaplasticity, synapse=synapse, **settings)
        self._settings |= own

    def _refuse_replaced(self, settings: dict[str, Any], levels: int) -> None:
        for old, new in self.replaced_settings.items():
            if old in settings:
                value = number(old, settings[old], 0, above=True)
                raise ConfigError(
                    f"{old} is {value:g}, which was in units of the weight; a quantised network has {new}, in units of half "
                    f"the spacing of its levels, {half_spacing(levels):.4g} here. Use {new}={value / half_spacing(levels):.4g}."
                )

    def _layer(self, inputs: int, outputs: int) -> nn.Module:
        return QuantisedLinear(
            inputs,
            outputs,
            levels=self._levels or 2,
            init_width=self._settings["init_width"],
            init_at=self._init_at,
            generator=self.generator,
        )

    def settings(self) -> dict[str, Any]:
        """Return all settings but the stream and the seed."""
        return {name: value for name, value in super().settings().items() if name not in self.replaced_settings}

    def footprint(self) -> dict[str, float]:
        """Return the cost of the network, and the share of its weights at each level."""
        weights = torch.cat([layer.weight.detach().flatten() for layer in self.layers])
        shares = level_shares(weights, self.layers[0].interval)
        return {
            **super().footprint(),
            "levels in use": float(sum(share >= IN_USE for share in shares.values())),
            **{f"weights at {level:+.3f} [share]": share for level, share in shares.items()},
        }
