"""Online learning, one sample at a time, of a two-layer perceptron without biases; compiled where the rule has a kernel.

features -> hidden (ReLU) -> classes, softmax cross entropy C, one update after every sample: the setting in which continual
learning is published with batch size 1 and millions of steps. Bayesian weights are drawn by local reparameterisation: at one
sample a step the pre-activations a_i = x.m_i + sqrt(x^2.v_i) e_i of weights of mean m and variance v have exactly the
distribution that drawing all weights would give them, at a hundredth of the random numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ... import kernels
from ...errors import ConfigError, FitError
from ...random import counter_normals
from .rule import OnlineRule

#: Steps for which the plain loop draws noise at once.
NOISE_BLOCK = 512


def learn_online(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, *, noise: Tensor | None = None
) -> Tensor:
    """Learn samples one after the other, with one update after each.

    Compiled for tensors on the CPU if the rule has a kernel (see `spinode.kernels.use`), else in plain torch. The result does
    not depend on how the samples are divided into calls.

    Args:
        rule: The update, such as `OnlineSGD(rate=0.01)` or `OnlineMESU()`.
        state: The tensors that the rule names, float32 or float64; changed in place.
        inputs: Shape (steps, features), of the state's type.
        labels: Classes, int64, shape (steps,).
        noise: Standard normal numbers, shape (steps, draws, hidden + classes), those of the hidden layer first; None for a rule
            without draws. `run_online` draws them.

    Returns:
        Loss of each sample before it was learned, mean over the draws, in nats, shape (steps,), of the state's type.

    Raises:
        ConfigError: tensors that are missing, or of another shape or type; labels outside the classes.
        FitError: a loss or weight became infinite or NaN. The state is then that before the step that is named, or that after
            the last step.
    """
    tensors = _checked_state(rule, state, inputs, labels)
    _check_noise(rule, tensors, len(labels), noise)
    with torch.no_grad():
        if _runs_compiled(rule, tensors):
            losses, end = _learn_compiled(rule, tensors, inputs, labels, noise)
        else:
            losses, end = _learn_plain(rule, tensors, inputs, labels, noise)
    _check_finite(rule, tensors, losses, end)
    return losses


def run_online(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """Learn samples one after the other with noise drawn on the way, see `learn_online`.

    A call takes one number from the generator, the key of all its noise, see `spinode.random.counter_normals`: the state of the
    generator is all that resuming after a call needs.

    Args:
        rule: The update.
        state: The tensors that the rule names; changed in place.
        inputs: Shape (steps, features).
        labels: Classes, shape (steps,).
        generator: Source of the key, on the CPU; required by a rule that draws.

    Returns:
        Loss of each sample before it was learned, shape (steps,).

    Raises:
        ConfigError: as `learn_online`; no generator for a rule that draws.
        FitError: as `learn_online`.
    """
    tensors = _checked_state(rule, state, inputs, labels)
    if not rule.draws:
        return learn_online(rule, state, inputs, labels)
    if generator is None:
        raise ConfigError(f"{rule} draws weights, but generator is None; pass generator=torch.Generator().manual_seed(0).")
    key = int(torch.randint(2**63 - 1, (), generator=generator))
    with torch.no_grad():
        if _runs_compiled(rule, tensors):
            losses, end = _learn_compiled(rule, tensors, inputs, labels, None, key)
        else:
            losses, end = _learn_plain_with_key(rule, tensors, inputs, labels, key)
    _check_finite(rule, tensors, losses, end)
    return losses


# --- loops ------------------------------------------------------------------------------------------------------------


def _learn_plain(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, noise: Tensor | None
) -> tuple[Tensor, int]:
    """Return the losses and the step whose loss is not finite, where learning ended, or the number of steps."""
    losses = inputs.new_zeros(len(inputs))
    for step, (x, label) in enumerate(zip(inputs, labels.tolist(), strict=True)):
        losses[step], gradients = rule.gradients(state, x, label, None if noise is None else noise[step])
        if not bool(losses[step].isfinite()):
            return losses, step
        rule.update(state, gradients)
    return losses, len(inputs)


def _learn_plain_with_key(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, key: int
) -> tuple[Tensor, int]:
    losses = inputs.new_zeros(len(inputs))
    units = sum(state[f"{rule.arrays[0]}1"].shape)
    for start in range(0, len(inputs), NOISE_BLOCK):
        block = slice(start, start + NOISE_BLOCK)
        steps = len(inputs[block])
        noise = counter_normals(key, start, steps, rule.draws * units).to(inputs).view(steps, rule.draws, units)
        losses[block], end = _learn_plain(rule, state, inputs[block], labels[block], noise)
        if end < steps:
            return losses, start + end
    return losses, len(inputs)


def _runs_compiled(rule: OnlineRule, tensors: dict[str, Tensor]) -> bool:
    return rule.kernel is not None and all(value.device.type == "cpu" for value in tensors.values()) and kernels.available()


def _learn_compiled(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, noise: Tensor | None, key: int = 0
) -> tuple[Tensor, int]:
    """Run the kernel, on contiguous copies of the arrays that are not contiguous."""
    from ...kernels.online import learn

    kernel = rule.kernel
    assert kernel is not None
    contiguous = {name: value.contiguous() for name, value in state.items()}
    layers = [[contiguous.get(f"{array}{layer}") for array in kernel.arrays] for layer in (0, 1)]
    losses, end = learn(kernel.name, kernel.constants, layers, inputs, labels, samples=rule.draws, noise=noise, key=key)
    for name, value in contiguous.items():
        if value is not state[name]:
            state[name].copy_(value)
    return losses, end


# --- checks -----------------------------------------------------------------------------------------------------------


def _checked_state(rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return the tensors of the state that the rule uses, after checking them, the inputs and the labels."""
    if not isinstance(rule, OnlineRule):
        raise ConfigError(f"the rule is {rule!r}; expected an online rule, such as OnlineSGD(rate=0.01) or OnlineMESU().")
    names = [f"{name}{layer}" for name in rule.arrays for layer in (0, 1)]
    if missing := [name for name in names if name not in state]:
        raise ConfigError(f"{rule} needs {', '.join(missing)}; the state contains {', '.join(state) or 'nothing'}.")
    for name in rule.optional_arrays:
        pair = [f"{name}0", f"{name}1"]
        names += pair if all(each in state for each in pair) else []
    used = {name: state[name] for name in names}
    first, second = (used[f"{rule.arrays[0]}{layer}"] for layer in (0, 1))
    if first.ndim != 2 or second.ndim != 2 or second.shape[1] != first.shape[0] or not (first.numel() and second.numel()):
        raise ConfigError(
            f"the layers have shapes {tuple(first.shape)} and {tuple(second.shape)}; expected (hidden, features) and "
            "(classes, hidden)."
        )
    if first.dtype not in (torch.float32, torch.float64):
        raise ConfigError(f"the state is {first.dtype}; expected float32 or float64.")
    for name, value in used.items():
        _check_tensor(name, value, second.shape if name.endswith("1") else first.shape, first)
    _check_tensor("inputs", inputs, (len(labels), first.shape[1]), first)
    _check_labels(labels, len(second), first.device)
    return used


def _check_labels(labels: Tensor, classes: int, device: torch.device) -> None:
    if labels.dtype != torch.int64 or labels.ndim != 1 or labels.device != device:
        raise ConfigError(f"labels are {labels.dtype} of shape {tuple(labels.shape)}; expected int64 of shape (steps,).")
    if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        raise ConfigError(f"labels range from {int(labels.min())} to {int(labels.max())}; expected 0 to {classes - 1}.")


def _check_noise(rule: OnlineRule, tensors: dict[str, Tensor], steps: int, noise: Tensor | None) -> None:
    second = tensors[f"{rule.arrays[0]}1"]
    shape = (steps, rule.draws, sum(second.shape))
    if (noise is None) != (rule.draws == 0):
        expected = f"shape {shape}; see run_online" if rule.draws else "none, since it draws nothing"
        raise ConfigError(f"noise for {rule} is {'missing' if noise is None else 'given'}; expected {expected}.")
    if noise is not None:
        _check_tensor("noise", noise, shape, second)


def _check_tensor(what: str, value: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    if value.shape != shape or value.dtype != like.dtype or value.device != like.device:
        raise ConfigError(
            f"{what} is {value.dtype} of shape {tuple(value.shape)} on {value.device}; expected {like.dtype} of shape "
            f"{tuple(shape)} on {like.device}."
        )


def _check_finite(rule: OnlineRule, tensors: dict[str, Tensor], losses: Tensor, end: int) -> None:
    """Raise a `FitError` if learning ended before the last step, or if a tensor is not finite."""
    if end < len(losses):
        raise FitError(
            f"{type(rule).__name__} diverged: the loss of step {end} is {float(losses[end])}. The state is that before this "
            "step. Check that the inputs are finite; else start from an earlier state with smaller rates."
        )
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise FitError(
                f"{type(rule).__name__} diverged: {name} contains infinite values or NaN after {len(losses)} steps. Check that "
                "noise and initial state are finite; else start from an earlier state with smaller rates."
            )
