"""`likely_cause`: the setting that most likely made a learner diverge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

#: Root mean square of inputs above which they are blamed: rules and initial weights are made for about 1.
LARGE_INPUTS = 10.0
#: Gradient descent of a rate on a parabola of a curvature diverges where their product is above this.
STABLE = 2.0
#: A rate above so many times its default is no slip by a factor of ten: the default is advised then.
FAR = 1000.0
_RATES = ("rate", "relative_rate", "norm_rate", "mean_rate", "sigma_rate")
_PENALTIES = ("importance", "strength", "ewc")


def likely_cause(
    settings: Mapping[str, Any], inputs: Tensor, *, stiffness: float = 0.0, defaults: Mapping[str, Any] | None = None
) -> str:
    """Return a sentence that names the setting to change after a loss that was not finite.

    In this order: inputs far from a root mean square of 1; a penalty on whose parabola gradient descent diverges; gradients of
    a Bayesian rule that are not clipped; the largest rate.

    Args:
        settings: Settings of the learner.
        inputs: Inputs of the batch.
        stiffness: Rate times largest curvature of the penalty, for gradient descent; 0 without a penalty.
        defaults: Defaults of the settings, as far as they are known.

    Example:
        >>> import torch
        >>> likely_cause({"rate": 50.0}, torch.ones(3, 2))
        'Most likely the cause is rate=50: try rate=5.'
    """
    rms = float(inputs.double().square().mean().sqrt())
    if not rms <= LARGE_INPUTS:
        return (
            f"Most likely the cause is the scale of the inputs: their root mean square is {rms:.3g}, expected about 1; use "
            "scale='standard' of a stream, or divide them."
        )
    penalties = [name for name in _PENALTIES if settings.get(name)]
    if stiffness > STABLE and penalties:
        name, value = penalties[0], float(settings[penalties[0]])
        return (
            f"Most likely the cause is {name}={value:g}: rate times the curvature of its penalty is {stiffness:.3g}, and "
            f"gradient descent diverges above {STABLE:g}; try {name}={value / stiffness:.2g}."
        )
    if settings.get("clamp") == 0:
        return "Most likely the cause is clamp=0, which leaves steps without a bound: try clamp=1."
    rates = {name: _largest(settings[name]) for name in _RATES if settings.get(name)}
    if not rates:
        return "Check the network and the inputs."
    name = max(rates, key=lambda each: rates[each])
    default = (defaults or {}).get(name)
    if default and rates[name] > FAR * default:
        return f"Most likely the cause is {name}={rates[name]:g}: try the default, {name}={default:g}."
    return f"Most likely the cause is {name}={rates[name]:g}: try {name}={rates[name] / 10:g}."


def _largest(rate: Any) -> float:
    """Return a rate, or the largest one of several layers."""
    return float(max(rate) if isinstance(rate, list) else rate)
