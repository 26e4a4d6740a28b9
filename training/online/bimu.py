"""`OnlineBiMU`: binary metaplasticity from uncertainty, one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...validation import flag, number, one_of, whole_number
from .gradients import sampled_gradients
from .rule import Kernel, OnlineMethod, OnlineRule, State, register


@dataclass(frozen=True)
class OnlineBiMU(OnlineRule):
    """Binary metaplasticity from uncertainty: weights of -1 and 1, of mean tanh(l), that forget beyond their memory.

    With C the mean over `samples` draws of -log p(label), g = likelihood dC/dl and s = divergence (1 - tanh(l)^2):
        l <- l - (rate g + s l / memory) / (s + 2 g tanh(l) + 2 |g| + 1 / largest_rate)

    The weights are relaxed in learning and binary in tests. Relaxed at temperature 1 they are w = tanh(l + logit(u) / 2) with u
    uniform on 0 .. 1. Pre-activations are drawn from the normal distribution with the mean and variance of those of such
    weights, which they approach for many inputs. With t = tanh(l), q = 1 - t^2 and E = (l / t - 1) / t^2 (1/3 at 0):
        <w> = t (1 - q E),    var w = q (1 - (2 + t^2 E) q E)
    Layers are normalised before activation and softmax. A step in which no weight has a gradient, dC/d<w> = dC/d(var w) = 0
    for all of them, changes nothing: it does not forget either.

    State: "lambda0" of shape (hidden, features), "lambda1" of shape (classes, hidden).

    Attributes:
        rate: Learning rate.
        largest_rate: Largest learning rate of a weight.
        likelihood: Factor of the evidence.
        divergence: Factor of the prior.
        memory: N, in steps; `math.inf` never forgets.
        samples: Draws of the weights in each step.
        activation: "gate": 1 where |a| > 1, else 0, with the straight-through derivative sign(a) for 1/2 < |a| < 3/2; or
            "relu".
        normalise: True to bring the pre-activations of each layer to mean 0 and variance 1 over its units.
        relaxed: True for pre-activations of relaxed weights, as published; False for those of binary ones, <w> = t, var w = q.

    Raises:
        ConfigError: a setting outside its range.

    Source: Cottart et al., arXiv:2605.30198 (2026).
    """

    rate: float = 4.9
    largest_rate: float = 0.0023
    likelihood: float = 161.3
    divergence: float = 3.76
    memory: float = 700.0
    samples: int = 5
    activation: str = "gate"
    normalise: bool = True
    relaxed: bool = True

    def __post_init__(self) -> None:
        self._store(
            rate=number("rate of OnlineBiMU", self.rate, 0),
            largest_rate=number("largest_rate of OnlineBiMU", self.largest_rate, 0, above=True),
            likelihood=number("likelihood of OnlineBiMU", self.likelihood, 0),
            divergence=number("divergence of OnlineBiMU", self.divergence, 0),
            memory=number("memory of OnlineBiMU", self.memory, 0, above=True, finite=False),
            samples=whole_number("samples of OnlineBiMU", self.samples, 1),
            activation=one_of("activation of OnlineBiMU", self.activation, ("gate", "relu")),
            normalise=flag("normalise of OnlineBiMU", self.normalise),
            relaxed=flag("relaxed of OnlineBiMU", self.relaxed),
        )

    @property
    def arrays(self) -> tuple[str, ...]:
        """The natural parameter l of the weights."""
        return ("lambda",)

    @property
    def draws(self) -> int:
        """Draws of the weights per step."""
        return self.samples

    @property
    def kernel(self) -> Kernel:
        """Description for the compiled loop."""
        options = [word for word, enabled in (("normalised", self.normalise), ("relaxed", self.relaxed)) if enabled]
        constants = (self.rate, self.largest_rate, self.likelihood, self.divergence, 1 / self.memory)
        return Kernel(" ".join(["bimu", self.activation, *options]), constants, self.arrays)

    def gradients(self, state: State, x: Tensor, label: int, noise: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the mean loss over the draws and its gradients in l of both layers; an empty list where all are zero."""
        assert noise is not None
        moments = [(relaxed_moments if self.relaxed else binary_moments)(state[f"lambda{layer}"]) for layer in (0, 1)]
        loss, found = sampled_gradients(
            *moments[0][:2], *moments[1][:2], x, label, noise, gate=self.activation == "gate", normalise=self.normalise
        )
        if not any(bool(part.any()) for part in found):
            return loss, []
        return loss, [found[2 * i] * moments[i][2] + found[2 * i + 1] * moments[i][3] for i in (0, 1)]

    def update(self, state: State, gradients: Sequence[Tensor]) -> None:
        """Change l by one step; see the class."""
        for layer, gradient in enumerate(gradients):
            value = state[f"lambda{layer}"]
            mean = value.tanh()
            g = self.likelihood * gradient
            s = self.divergence * (1 - mean.square())
            value -= (self.rate * g + s * value / self.memory) / (s + 2 * g * mean + 2 * g.abs() + 1 / self.largest_rate)

    def log_probabilities(self, state: State, inputs: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Return the responses of `samples` draws of binary weights, each used for all inputs."""
        return torch.stack([self._binary_response(state, inputs, generator) for _ in range(samples)])

    def _binary_response(self, state: State, x: Tensor, generator: torch.Generator) -> Tensor:
        for layer in (0, 1):
            value = state[f"lambda{layer}"]
            uniform = torch.rand(value.shape, generator=generator, dtype=value.dtype).to(value.device)
            x = x @ torch.where(uniform < torch.sigmoid(2 * value), 1.0, -1.0).to(value).T
            if self.normalise:
                x = torch.nn.functional.layer_norm(x, x.shape[-1:])
            if layer == 0:
                x = x.relu() if self.activation == "relu" else (x.abs() > 1).to(x)
        return x.log_softmax(-1)


def binary_moments(value: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mean and variance of binary weights, and the derivatives in l of the mean and of half the variance.

    Args:
        value: l, of any shape.
    """
    t = value.tanh()
    q = 1 - t.square()
    return t, q, q, -t * q


def relaxed_moments(value: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the same as `binary_moments` for relaxed weights tanh(l + logit(u) / 2), u uniform.

    The derivation is in kernels/online_rules.hpp. H = (E - 1/3) / t^2 uses its series where dividing by t^4 would cost digits.
    """
    t = value.tanh()
    square = t.square()
    q = (1 - square).clamp(min=0)
    single = value.dtype == torch.float32
    largest, series_end, terms = (8.0, 0.5, 18) if single else (20.0, 0.25, 24)
    series = torch.full_like(t, 1 / (2 * terms + 3))
    for k in range(terms - 2, -1, -1):
        series = series * square + 1 / (2 * k + 5)
    small = square < series_end
    inverse = 1 / torch.where(small, 1, t)
    closed = ((value.clamp(-largest, largest) * inverse - 1) * inverse.square() - 1 / 3) * inverse.square()
    h = torch.where(small, series, closed)
    e = square * h + 1 / 3
    shrink = q * e
    variance = (q * (1 - (2 + square * e) * shrink)).clamp(min=0)
    return t * (1 - shrink), variance, 2 * shrink, q * t * (3 * (h - e) + 2 * shrink * e)


register("bimu", OnlineMethod(OnlineBiMU))
