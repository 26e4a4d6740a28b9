"""Online learning, one sample at a time, of a two-layer perceptron without biases; compiled where it can be.

features -> hidden (ReLU) -> classes, softmax cross entropy C, one update after every sample: the setting in which continual
learning is published with batch size 1 and millions of steps. Bayesian weights are drawn by local reparameterisation: at one
sample a step the pre-activations a_i = x.m_i + sqrt(x^2.v_i) e_i of weights of mean m and variance v have exactly the
distribution that drawing all weights would give them, at a hundredth of the random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from ... import kernels
from ...counter_noise import normals
from ...errors import ConfigError, FitError
from . import updates as online_torch

__all__ = ["OnlineBGD", "OnlineBiMU", "OnlineMESU", "OnlineRule", "OnlineSGD", "learn_online", "run_online"]


def _demand(good: bool, rule: object, wanted: str) -> None:
    if not good:
        raise ConfigError(f"{rule}: expected {wanted}.")


@dataclass(frozen=True)
class OnlineSGD:
    """Gradient descent, with the quadratic penalty of EWC and SI if asked for.

    w <- w - rate (g + penalty importance (w - anchor)), with g = dC/dw of the sample.

    State: "weight0" of shape (hidden, features), "weight1" of shape (classes, hidden); with a penalty also "importance0",
    "anchor0", "importance1" and "anchor1" of the same shapes. Added up where the state has them: "fisher0", "fisher1" += g^2,
    the empirical Fisher information; "path0", "path1" -= g (change of w), the path integral of SI.

    Attributes:
        rate: Learning rate.
        penalty: Strength; the importance of EWC, twice the c of SI (whose penalty has no factor 1/2).
        stream_decay: None: importance and anchor stay. A number d: the streaming EWC of the MESU paper, after each step
            importance <- d importance + g^2 and anchor <- w as it was before the step, so that the penalty pulls back along
            the last step only. (The paper's text does not give this; it is how we read what its authors ran.)

    Source: Kirkpatrick et al., PNAS 114, 3521 (2017); Zenke et al., ICML (2017); Bonnet et al., arXiv:2504.13569 (2025).
    """

    rate: float
    penalty: float = 0.0
    stream_decay: float | None = None

    def __post_init__(self) -> None:
        _demand(0 <= self.rate < math.inf and 0 <= self.penalty < math.inf, self, "rate and penalty of at least 0, finite")
        _demand(self.stream_decay is None or 0 <= self.stream_decay <= 1, self, "stream_decay from 0 to 1, or None")

    @property
    def samples(self) -> int:
        """Draws of the weights in each step: none."""
        return 0

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the tensors of each layer."""
        return ("weight", "importance", "anchor") if self.penalty else ("weight",)


@dataclass(frozen=True)
class OnlineMESU:
    """Metaplasticity from synaptic uncertainty: Gaussian weights that forget what lies further back than their memory.

    With C the mean over `samples` draws of -log p(label), mu the mean and s the standard deviation of a weight:
        mu <- mu + mean_rate  (-s^2 dC/dmu + s^2 (prior_mean - mu) / (memory prior_sigma^2))
        s  <- s  + sigma_rate (-s^2 dC/ds  + s (prior_sigma^2 - s^2) / (memory prior_sigma^2)) / 2

    State: "mean0", "sigma0" of shape (hidden, features), "mean1", "sigma1" of shape (classes, hidden).

    Attributes:
        mean_rate: Rate of the means.
        sigma_rate: Rate of the standard deviations.
        prior_mean: Mean of the prior.
        prior_sigma: Standard deviation of the prior.
        memory: N, in steps; `math.inf` never forgets.
        samples: Draws in each step.
        clamp: Both gradients are cut to +-clamp / |s|; 0 for no cut.

    Source: Bonnet et al., arXiv:2504.13569 (2025).
    """

    mean_rate: float = 1.0
    sigma_rate: float = 1.0
    prior_mean: float = 0.0
    prior_sigma: float = 1.0
    memory: float = 300_000.0
    samples: int = 10
    clamp: float = 0.0

    def __post_init__(self) -> None:
        _demand(0 <= self.mean_rate < math.inf and 0 <= self.sigma_rate < math.inf, self, "rates of at least 0, finite")
        _demand(
            math.isfinite(self.prior_mean) and 0 < self.prior_sigma < math.inf, self, "a finite prior_mean, prior_sigma > 0"
        )
        _demand(self.memory > 0, self, "a memory above 0 steps (math.inf for one that never forgets)")
        _demand(self.samples >= 1 and 0 <= self.clamp < math.inf, self, "at least one sample, and a clamp of at least 0")

    needs = ("mean", "sigma")


@dataclass(frozen=True)
class OnlineBGD:
    """Bayesian gradient descent (FOO-VB, diagonal): Gaussian weights that never forget.

    With C the mean over `samples` draws of -log p(label), and u = s dC/ds / 2, where dC/ds = E[dC/dw e]:
        mu <- mu - mean_rate s^2 dC/dmu
        s  <- s (sqrt(1 + u^2) - u)

    State as `OnlineMESU`.

    Attributes:
        mean_rate: Rate of the means, eta.
        samples: Draws in each step.
        published_code: s <- s (2 - u - sqrt(1 + u^2)) instead: the sign slip in the code behind the published figures of the
            MESU paper.

    Source: Zeno et al., Neural Computation 33, 3139 (2021).
    """

    mean_rate: float = 1.0
    samples: int = 10
    published_code: bool = False

    def __post_init__(self) -> None:
        _demand(0 <= self.mean_rate < math.inf and self.samples >= 1, self, "a finite rate of at least 0, at least one sample")

    needs = ("mean", "sigma")


@dataclass(frozen=True)
class OnlineBiMU:
    """Binary metaplasticity from uncertainty: weights of -1 and 1, of mean tanh(l), that forget beyond their memory.

    With C the mean over `samples` draws of -log p(label), g = likelihood dC/dl and s = divergence (1 - tanh(l)^2):
        l <- l - (rate g + s l / memory) / (s + 2 g tanh(l) + 2 |g| + 1 / largest_rate)

    The weights learn relaxed and answer binary. Relaxed at temperature 1 they are w = tanh(l + logit(u) / 2) with u uniform on
    0 .. 1. Pre-activations are drawn from the normal distribution with the mean and variance of those of such weights, which
    they approach for many inputs. With t = tanh(l), q = 1 - t^2 and E = (l / t - 1) / t^2 (1/3 at 0):
        <w> = t (1 - q E),    var w = q (1 - (2 + t^2 E) q E)
    Before activation and softmax, layers are normalised. A step in which no weight has a gradient, dC/d<w> = dC/d(var w) = 0
    for all of them, changes nothing: nor is anything forgotten in it.

    State: "lambda0" of shape (hidden, features), "lambda1" of shape (classes, hidden).

    Attributes:
        rate: Learning rate.
        largest_rate: Greatest rate of a weight.
        likelihood: Weight of the evidence.
        divergence: Weight of the prior.
        memory: N, in steps; `math.inf` never forgets.
        samples: Draws in each step.
        activation: "gate": 1 where |a| > 1, else 0, with the derivative sign(a) for 1/2 < |a| < 3/2 in its place; or "relu".
        normalise: Whether the pre-activations of each layer are brought to mean 0 and variance 1 over its units.
        relaxed: Whether pre-activations are those of relaxed weights, as published, or of binary ones: <w> = t, var w = q.

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
        numbers = (self.rate, self.likelihood, self.divergence)
        _demand(all(0 <= x < math.inf for x in numbers), self, "rate, likelihood and divergence of at least 0, finite")
        _demand(0 < self.largest_rate < math.inf and self.memory > 0, self, "largest_rate and memory above 0")
        _demand(self.samples >= 1 and self.activation in ("gate", "relu"), self, "at least one sample, 'gate' or 'relu'")

    needs = ("lambda",)


OnlineRule: TypeAlias = OnlineSGD | OnlineMESU | OnlineBGD | OnlineBiMU

#: Tensors of the state that a rule adds to where they are there.
_SUMS = ("fisher", "path")


def learn_online(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, *, noise: Tensor | None = None
) -> Tensor:
    """Learn samples one after the other, one update after each.

    Compiled for tensors on the CPU (see `spinode.kernels.use`), else in plain torch. The result does not depend on how the
    samples are divided into calls.

    Args:
        rule: What an update is: `OnlineSGD`, `OnlineMESU`, `OnlineBGD` or `OnlineBiMU`.
        state: The tensors that the rule names, float32 or float64; changed in place.
        inputs: Shape (steps, features), of the state's type.
        labels: Classes, int64, shape (steps,).
        noise: Standard normal numbers, shape (steps, samples, hidden + classes), those of the hidden layer first; None for a
            rule that draws nothing. `run_online` draws them.

    Returns:
        Loss of each sample before it was learned, mean over the draws, in nats, shape (steps,), of the state's type.

    Raises:
        ConfigError: tensors that are missing, or of another shape or type; labels that are no classes.
        FitError: a loss or weight became infinite or NaN. The state is then left as it was before the step that is named, or
            after the last one.
    """
    tensors = _checked(rule, state, inputs, labels, noise)
    with torch.no_grad():
        if _compiled(tensors):
            losses, bad = _learn_native(rule, tensors, inputs, labels, noise)
        else:
            losses, bad = online_torch.learn(rule, tensors, inputs, labels, noise)
    _assert_finite(rule, tensors, losses, bad)
    return losses


def run_online(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """`learn_online` with noise that is drawn on the way.

    A call takes one number from the generator, the key of all noise of the call, see `spinode.counter_noise`: the state of the
    generator is all that resuming after a call needs.

    Args:
        rule: What an update is.
        state: The tensors that the rule names; changed in place.
        inputs: Shape (steps, features).
        labels: Classes, shape (steps,).
        generator: Source of the key, on the CPU; needed by a rule that draws.

    Returns:
        Loss of each sample before it was learned, shape (steps,).

    Raises:
        ConfigError: as `learn_online`; no generator for a rule that draws.
        FitError: as `learn_online`.
    """
    if not rule.samples:
        return learn_online(rule, state, inputs, labels)
    if generator is None:
        raise ConfigError(f"{rule} draws weights, but no generator came; pass generator=torch.Generator().manual_seed(0).")
    tensors = _checked(rule, state, inputs, labels, None, drawn=True)
    key = int(torch.randint(2**63 - 1, (), generator=generator))
    with torch.no_grad():
        if _compiled(tensors):
            losses, bad = _learn_native(rule, tensors, inputs, labels, None, key)
        else:
            losses, bad = _learn_pieces(rule, tensors, inputs, labels, key)
    _assert_finite(rule, tensors, losses, bad)
    return losses


#: Steps for which the plain path draws noise at once.
_CHUNK = 512


def _learn_pieces(rule: OnlineRule, tensors: dict[str, Tensor], inputs: Tensor, labels: Tensor, key: int) -> tuple[Tensor, int]:
    losses = inputs.new_zeros(len(inputs))
    units = sum(tensors[f"{rule.needs[0]}1"].shape)
    for start in range(0, len(inputs), _CHUNK):
        piece = slice(start, start + _CHUNK)
        steps = len(inputs[piece])
        noise = normals(key, start, steps, rule.samples * units).to(inputs).view(steps, rule.samples, units)
        losses[piece], bad = online_torch.learn(rule, tensors, inputs[piece], labels[piece], noise)
        if bad < steps:
            return losses, start + bad
    return losses, len(inputs)


def _compiled(tensors: dict[str, Tensor]) -> bool:
    return all(value.device.type == "cpu" for value in tensors.values()) and kernels.available()


def _learn_native(
    rule: OnlineRule, tensors: dict[str, Tensor], inputs: Tensor, labels: Tensor, noise: Tensor | None, key: int = 0
) -> tuple[Tensor, int]:
    """The kernel, with a copy of what does not lie in memory as it takes it."""
    from ...kernels.online import learn

    name, numbers, arrays = _described(rule)
    held = {what: value.contiguous() for what, value in tensors.items()}
    layers = [[held.get(f"{array}{layer}") for array in arrays] for layer in (0, 1)]
    losses, bad = learn(name, numbers, layers, inputs, labels, samples=rule.samples, noise=noise, key=key)
    for what, value in held.items():
        if value is not tensors[what]:
            tensors[what].copy_(value)
    return losses, bad


def _described(rule: OnlineRule) -> tuple[str, tuple[float, ...], tuple[str, ...]]:
    """Name, constants and arrays under which the compiled half knows a rule."""
    if isinstance(rule, OnlineSGD):
        stream = rule.stream_decay is not None
        kind = ("sgd stream" if stream else "sgd penalty") if rule.penalty else "sgd"
        return kind, (rule.rate, rule.penalty, rule.stream_decay or 0.0), ("weight", "importance", "anchor", "fisher", "path")
    if isinstance(rule, OnlineMESU):
        numbers = (rule.mean_rate, rule.sigma_rate, rule.prior_mean, rule.prior_sigma, 1 / rule.memory, rule.clamp)
        return "mesu clamp" if rule.clamp else "mesu", numbers, rule.needs
    if isinstance(rule, OnlineBiMU):
        options = [word for word, on in (("normalised", rule.normalise), ("relaxed", rule.relaxed)) if on]
        kind = " ".join(["bimu", rule.activation, *options])
        return kind, (rule.rate, rule.largest_rate, rule.likelihood, rule.divergence, 1 / rule.memory), rule.needs
    return "bgd published" if rule.published_code else "bgd", (rule.mean_rate,), rule.needs


def _state(rule: OnlineRule, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state that the rule uses, checked."""
    if not isinstance(rule, OnlineSGD | OnlineMESU | OnlineBGD | OnlineBiMU):
        raise ConfigError(f"the rule is {rule!r}; expected OnlineSGD, OnlineMESU, OnlineBGD or OnlineBiMU.")
    names = [f"{name}{layer}" for name in rule.needs for layer in (0, 1)]
    if missing := [name for name in names if name not in state]:
        raise ConfigError(f"{rule} needs {', '.join(missing)}; the state holds {', '.join(state) or 'nothing'}.")
    if isinstance(rule, OnlineSGD):
        names += [name for kind in _SUMS if f"{kind}0" in state and f"{kind}1" in state for name in (f"{kind}0", f"{kind}1")]
    found = {name: state[name] for name in names}
    first, second = (found[f"{rule.needs[0]}{layer}"] for layer in (0, 1))
    if first.ndim != 2 or second.ndim != 2 or second.shape[1] != first.shape[0] or not (first.numel() and second.numel()):
        raise ConfigError(
            f"the layers have shapes {tuple(first.shape)} and {tuple(second.shape)}; expected (hidden, features) and "
            "(classes, hidden)."
        )
    if first.dtype not in (torch.float32, torch.float64):
        raise ConfigError(f"the state is {first.dtype}; expected float32 or float64.")
    for name, value in found.items():
        _match(name, value, second.shape if name.endswith("1") else first.shape, first)
    return found


def _match(what: str, value: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    if value.shape != shape or value.dtype != like.dtype or value.device != like.device:
        raise ConfigError(
            f"{what} is {value.dtype} of shape {tuple(value.shape)} on {value.device}; expected {like.dtype} of shape "
            f"{tuple(shape)} on {like.device}."
        )


def _checked(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, noise: Tensor | None, drawn: bool = False
) -> dict[str, Tensor]:
    """The tensors of the state; `drawn`: noise will be drawn."""
    found = _state(rule, state)
    first, second = (found[f"{rule.needs[0]}{layer}"] for layer in (0, 1))
    (hidden, features), classes, steps = first.shape, second.shape[0], len(labels)
    _match("inputs", inputs, (steps, features), first)
    if labels.dtype != torch.int64 or labels.ndim != 1 or labels.device != first.device:
        raise ConfigError(f"labels are {labels.dtype} of shape {tuple(labels.shape)}; expected int64 of shape (steps,).")
    if steps and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        raise ConfigError(f"labels range from {int(labels.min())} to {int(labels.max())}; expected 0 to {classes - 1}.")
    if not drawn and (noise is None) != (rule.samples == 0):
        wanted = (
            f"shape {(steps, rule.samples, hidden + classes)}; see run_online" if rule.samples else "none: it draws nothing"
        )
        raise ConfigError(f"noise for {rule} is {'missing' if noise is None else 'given'}; expected {wanted}.")
    if noise is not None:
        _match("noise", noise, (steps, rule.samples, hidden + classes), first)
    return found


def _assert_finite(rule: OnlineRule, tensors: dict[str, Tensor], losses: Tensor, bad: int) -> None:
    """`bad` is the step at which the loss was not finite, or the number of steps."""
    if bad < len(losses):
        raise FitError(
            f"{type(rule).__name__} diverged: the loss of step {bad} is {float(losses[bad])}. The state is as before "
            "that step. Are the inputs finite? Else start from an earlier state, with smaller rates."
        )
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise FitError(
                f"{type(rule).__name__} diverged: {name} holds infinite values or NaN after {len(losses)} steps. Are the "
                "noise and the state that came finite? Else start from an earlier state, with smaller rates."
            )
