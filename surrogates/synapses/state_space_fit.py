"""The fit of a synapse: drift, latent parameters and noise by the likelihood of the reads, not by least squares on a path.

Least squares on the trajectory would be wrong here: accumulated noise leaves residuals that stay correlated. The Kalman
filter predicts each read from those before; the drift is linearised at its own filtered states, which are found anew as
drift and noise change (an iterated extended Kalman filter), and three blocks are improved in turn until none moves:

1. the network, by L-BFGS with the adjoint of the filter;
2. each device's latent parameters, by Gauss-Newton steps under their prior, whose width is learned (empirical Bayes);
3. the noise, by L-BFGS with differences: the perturbed runs are lanes of one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from ... import kernels
from ...contracts.synapse import SET
from ...typing import Array
from . import kalman
from .drift import Drift, Latents
from .kalman import Filtered, Mask, Steps
from .noise import NoiseModel
from .pulse_data import PulseData
from .telegraph import TelegraphNoise, most_likely

#: Samples that the fit of the network sees; more are thinned where pulses repeat.
SAMPLES = 60_000
#: Ridge on the weights of the network, in units of a log likelihood.
RIDGE = 1.0


@dataclass
class StateFit:
    """A fit under way: parameters, and the path at which the drift is linearised.

    Attributes:
        data: The recordings.
        drift: Network, in double precision.
        latents: Shape (groups, latents).
        spread: Deviation of the prior of each latent parameter, shape (latents,).
        middle: Mean of that prior, shape (latents,).
        covariance: Posterior covariance of the latents, shape (groups, latents, latents).
        noise_model: Form of the noise.
        noise: Its parameters.
        reference: x^ at each read, shape (reads, lanes).
        filled: Whether a trap is filled at each read, shape (reads, lanes).
        trap: Its rates, where there is one.
        history: What each round reached.
    """

    data: PulseData
    drift: Drift
    latents: Array
    spread: Array
    noise_model: NoiseModel
    noise: Array
    reference: Array
    filled: Mask
    trap: TelegraphNoise | None = None
    covariance: Array = field(default_factory=lambda: np.zeros(0))
    middle: Array = field(default_factory=lambda: np.zeros(1))
    history: list[dict[str, float]] = field(default_factory=list)

    # --- the drift along the path ------------------------------------------------------------------------------------

    def first(self) -> Array:
        """State at the first read of each lane."""
        return np.asarray(self.reference[0])

    def changes(self, state: Tensor, latents: Tensor, first: Tensor) -> Tensor:
        """Drift of each step, shape (reads - 1, lanes); latents (..., lanes, latents) or one set for each step."""
        data = self.data
        return self.drift.change(
            state, _tensor(data.pulses), _tensor(np.where(data.polarity == 0, 1.0, data.polarity)),
            [_tensor(row) for row in data.extra], latents, first,
        )  # fmt: skip

    def steps(self) -> Steps:
        """The recordings with the drift and its slope at the reference."""
        state = _tensor(self.reference[:-1]).requires_grad_()
        lanes = _tensor(self.latents[self.data.group]).expand(*state.shape, -1)
        drift = self.changes(state, lanes, _tensor(self.first()).expand(state.shape))
        (slope,) = torch.autograd.grad(drift.sum(), state)
        # A step that overshoots tenfold is no linearisation; the filter must stay stable while the network is still wrong.
        return Steps(
            self.data.reads, self.data.seen, drift.detach().numpy(), 1 + slope.numpy().clip(-0.95, 0.2), self.reference[:-1],
            self.filled,
        )  # fmt: skip

    def filtered(self, steps: Steps | None = None) -> Filtered:
        """One pass with the present parameters."""
        steps = self.steps() if steps is None else steps
        return kalman.run(steps, self.noise_model.variances(self.noise[None], self.data, self.reference))

    def relinearise(self, passes: int = 2) -> float:
        """Move the reference to the filtered states; returns the log likelihood. A lane that this makes worse stays."""
        return float(self._moved(passes).sum())

    def _moved(self, passes: int = 2) -> Array:
        """Log likelihood of each lane after the reference has moved."""
        kept = self.reference
        result = self.filtered()
        before = result.loglik
        for _ in range(passes):
            self.reference = np.where(self.data.seen, result.mean[0], self.reference).clip(-8, 8)
            result = self.filtered()
        worse = ~(result.loglik > before - 1e3)
        self.reference = np.where(worse, kept, self.reference)
        return np.where(worse, before, result.loglik)

    # --- the three blocks --------------------------------------------------------------------------------------------

    def improve_network(self, iterations: int) -> None:
        """L-BFGS over the weights of the network, reference and noise held."""
        steps = self.steps()
        noise = self.noise_model.variances(self.noise[None], self.data, self.reference)
        weights = [p for p in self.drift.field.parameters() if p.requires_grad]
        state, first = _tensor(self.reference[:-1]), _tensor(self.first())
        lanes = _tensor(self.latents[self.data.group]).expand(*state.shape, -1)
        first = first.expand(state.shape)

        def loss(flat: Array) -> tuple[float, Array]:
            _assign(weights, flat)
            for weight in weights:
                weight.grad = None
            drift = self.changes(state, lanes, first)
            now = replace(steps, drift=drift.detach().numpy())
            result = kalman.run(now, noise)
            drift.backward(_tensor(-kalman.drift_gradient(now, noise, result)))
            gradient = np.concatenate([_grad(weight) for weight in weights]) + RIDGE * flat
            value = -float(result.loglik.sum()) + 0.5 * RIDGE * float(flat @ flat)
            return value, gradient

        start = _flat(weights)
        best = minimize(loss, start, jac=True, method="L-BFGS-B", options=_options(loss, start, iterations))
        _assign(weights, start)  # the search leaves the weights that it tried last
        kept, before = self.reference, self._true_loglik()
        # The likelihood above is that of a linearised drift; far from its path it may promise what the filter does not keep.
        for share in (1.0, 0.5, 0.2, 0.05, 0.0):
            _assign(weights, start + share * (best.x - start))
            self.reference = kept
            if share == 0.0 or self._true_loglik() > before:
                break

    def posterior(self) -> float:
        """Log posterior of drift and noise, the trap's history included."""
        prior = float(self.noise_model.prior(self.noise[None])[0])
        return self._true_loglik() + prior + self._trap_prior()

    def _true_loglik(self) -> float:
        """Log likelihood less the ridge, after the reference has moved; minus infinity where a run diverges."""
        loglik = self.relinearise() - 0.5 * RIDGE * float((_flat(list(self.drift.field.parameters())) ** 2).sum())
        return loglik if np.isfinite(loglik) else -np.inf

    def latent_columns(self) -> Array:
        """Slopes of each step's drift in the latents of its lane, shape (latents, reads - 1, lanes)."""
        state = _tensor(self.reference[:-1])
        lanes = _tensor(self.latents[self.data.group]).expand(*state.shape, -1).clone().requires_grad_()
        drift = self.changes(state, lanes, _tensor(self.first()).expand(state.shape))
        (slopes,) = torch.autograd.grad(drift.sum(), lanes)
        return np.ascontiguousarray(slopes.numpy().transpose(2, 0, 1))

    def improve_latents(self, rounds: int = 2) -> None:
        """Damped Gauss-Newton steps of every group's latents under the prior N(middle, spread^2)."""
        groups, size = self.latents.shape
        if not size:
            return
        damping = np.ones(groups)
        first, path, true = self.latents.copy(), self.reference, self._moved()
        steps = self.steps()
        value = self._group_loglik(steps)
        for _ in range(rounds):
            noise = self.noise_model.variances(self.noise[None], self.data, self.reference)
            matrix, vector = kalman.information(steps, noise, kalman.run(steps, noise), self.latent_columns())
            total, slope = np.zeros((groups, size, size)), np.zeros((groups, size))
            np.add.at(total, self.data.group, matrix)
            np.add.at(slope, self.data.group, vector)
            total += np.diag(self.spread**-2)
            slope -= (self.latents - self.middle) / self.spread**2
            self.covariance = np.asarray(np.linalg.inv(total), np.float64)
            damped = total + damping[:, None, None] * 1e-3 * np.einsum("gii->gi", total)[:, :, None] * np.eye(size)
            move = np.linalg.solve(damped, slope[..., None])[..., 0].clip(-0.7, 0.7)
            before = self.latents.copy()
            self.latents = (before + move).clip(-6, 6)
            trial = self.steps()
            now = self._group_loglik(trial)
            worse = ~(now >= value)
            self.latents[worse] = before[worse]
            damping = np.where(worse, damping * 30, damping / 5)
            value = np.where(worse, value, now)
            steps = self.steps() if worse.any() else trial
        # As for the network: what the linearised drift promised, the filter must keep.
        gain = np.zeros(groups)
        np.add.at(gain, self.data.group, self._moved() - true)
        gain -= self._penalty(self.latents) - self._penalty(first)
        lost = ~(gain > -1e-9)
        self.latents[lost] = first[lost]
        self.reference = np.where(lost[self.data.group], path, self.reference)

    def log_posterior(self, latents: Array) -> Array:
        """Log posterior of each group at other latents, shape (groups,), the drift linearised along their own filtered path."""
        trial = replace(self, latents=latents)
        for _ in range(2):
            result = trial.filtered()
            trial.reference = np.where(self.data.seen, result.mean[0], self.reference).clip(-8, 8)
        return trial._group_loglik(trial.steps())

    def _group_loglik(self, steps: Steps) -> Array:
        total = np.zeros(len(self.latents))
        np.add.at(total, self.data.group, self.filtered(steps).loglik)
        return np.asarray(total - self._penalty(self.latents))

    def _penalty(self, latents: Array) -> Array:
        return np.asarray(0.5 * (((latents - self.middle) / self.spread) ** 2).sum(1))

    def improve_spread(self, least: float = 0.005) -> None:
        """Empirical Bayes: the prior's mean and deviation, from the groups that tell of each latent parameter.

        A group counts by how much narrower than the prior its posterior is: that of a ramp of SET says nothing of RESET rates.
        """
        if self.latents.size and len(self.covariance):
            variance = np.einsum("gii->gi", self.covariance)
            weight = (1 - variance / self.spread**2).clip(1e-6, 1.0)
            self.middle = (weight * self.latents).sum(0) / weight.sum(0)
            second = (weight * ((self.latents - self.middle) ** 2 + variance)).sum(0) / weight.sum(0)
            self.spread = np.sqrt(second).clip(least, 3.0)

    def improve_noise(self, iterations: int) -> None:
        """L-BFGS over the noise parameters; gradients by central differences whose runs are lanes of one pass."""
        steps = self.steps()

        def loss(flat: Array) -> tuple[float, Array]:
            shifts = np.concatenate([np.zeros((1, len(flat))), 1e-4 * np.eye(len(flat)), -1e-4 * np.eye(len(flat))])
            values = self.noise_loglik(flat + shifts, steps)
            count = len(flat)
            return -float(values[0]), -(values[1 : count + 1] - values[count + 1 :]) / 2e-4

        bounds = self.noise_model.bounds
        start = self.noise.clip(*np.array(bounds).T)
        best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_options(loss, start, iterations))
        if np.isfinite(best.x).all():
            self.noise = best.x

    def noise_loglik(self, parameters: Array, steps: Steps | None = None) -> Array:
        """Log posterior of several sets of noise parameters, drift held, shape (sets,)."""
        steps = self.steps() if steps is None else steps
        sets = len(parameters)
        noise = self.noise_model.variances(parameters, self.data, self.reference)
        result = kalman.run(steps.tiled(sets), noise)
        return np.asarray(result.loglik.reshape(sets, -1).sum(1) + self.noise_model.prior(parameters))

    def noise_covariance(self) -> Array:
        """Laplace approximation: inverse of the Hessian of the log posterior by differences, drift held."""
        size, h = len(self.noise), 2e-3
        pairs = [(i, j) for i in range(size) for j in range(i, size)]
        eye = h * np.eye(size)
        shifts = [s * eye[i] + t * eye[j] for i, j in pairs for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        values = self.noise_loglik(self.noise + np.array(shifts)).reshape(-1, 4)
        second = (values[:, 0] - values[:, 1] - values[:, 2] + values[:, 3]) / (4 * h * h)
        hessian = np.zeros((size, size))
        for (i, j), value in zip(pairs, second, strict=True):
            hessian[i, j] = hessian[j, i] = -value
        eigenvalues, vectors = np.linalg.eigh(hessian)
        return np.asarray((vectors / eigenvalues.clip(1 / 25.0)) @ vectors.T)

    def find_traps(self) -> float:
        """Add random telegraph noise, or follow it anew; returns the gain in log probability, its history's included."""
        steps = self.steps()
        without = float(self.filtered(steps).loglik.sum()) + self._trap_prior()
        if self.trap is None:
            model = replace(self.noise_model, trap=True)
            deep = 3 * float(np.sqrt(np.median(self.filtered(steps).variance[self.data.seen])))
            self.noise_model, self.noise = model, np.append(self.noise, [0.0, np.log(deep)])
            self.trap = TelegraphNoise(1e-3, 2e-3, 0.0, deep)
        noise = self.noise_model.variances(self.noise[None], self.data, self.reference)
        self.trap = replace(self.trap, depth=float(self.noise[-2]), depth_deviation=float(np.exp(self.noise[-1])))
        self.filled, score = most_likely(steps, noise, self.data.pulses, self.trap)
        self._trap_rates()
        return float(score.sum()) - without

    def _trap_rates(self) -> None:
        """Rates by counting, one event of a thousand pulses assumed beforehand for each."""
        assert self.trap is not None
        before, after, seen = self.filled[:-1], self.filled[1:], self.data.seen[1:]
        pulses = self.data.pulses
        fills, leaves = float((~before & after & seen).sum()), float((before & ~after & seen).sum())
        empty, full = float((pulses * ~before * seen).sum()), float((pulses * before * seen).sum())
        self.trap = replace(self.trap, fill=(fills + 1) / (empty + 1e3), leave=(leaves + 1) / (full + 1e3))

    def _trap_prior(self) -> float:
        if self.trap is None:
            return 0.0
        chain = np.log(self.trap.transitions(self.data.pulses).clip(1e-300))
        before, after = self.filled[:-1].astype(int), self.filled[1:].astype(int)
        full, empty = np.where(after > 0, chain[1, 1], chain[1, 0]), np.where(after > 0, chain[0, 1], chain[0, 0])
        picked = np.where(before > 0, full, empty)
        start = float(np.log(np.where(self.filled[0], self.trap.occupancy, 1 - self.trap.occupancy)).sum())
        return float((picked * self.data.seen[1:]).sum()) + start

    # --- all together ------------------------------------------------------------------------------------------------

    def follow(
        self,
        rounds: int,
        iterations: int,
        progress: Callable[[str], None] | None = None,
        *,
        accumulating: float = 1e-3,
        read: float = 0.1,
    ) -> None:
        """Before the noise is known: fit the drift under little accumulating noise, which is nearly a fit of whole paths.

        With the noise of the first guess every misfit of the drift would pass for accumulated noise, and stay.
        """
        kept = self.noise
        model, self.noise_model = self.noise_model, replace(self.noise_model, memory=False, trap=False)
        self.noise = self.noise_model.start(accumulating, read)
        last = self.relinearise()
        for index in range(rounds):
            self.improve_network(iterations)
            self.improve_latents(5)
            self.relinearise()
            loglik = float(self.filtered().loglik.sum())
            self.history.append({"following": loglik})
            if progress is not None:
                progress(f"following {index + 1}/{rounds}: log likelihood {loglik:.1f}")
            if index > 2 and loglik - last < 1e-3 * abs(loglik):
                break
            last = loglik
        self.noise, self.noise_model = kept, model

    def run(self, rounds: int, iterations: int, progress: Callable[[str], None] | None = None) -> None:
        """The blocks in turn."""
        last = -np.inf
        for index in range(rounds):
            self.improve_latents()
            self.improve_network(iterations)
            self.improve_latents()
            self.relinearise()
            self.improve_noise(30)
            self.improve_spread()
            loglik = self.relinearise()
            self.history.append({"loglik": loglik})
            if progress is not None:
                progress(f"round {index + 1}/{rounds}: log likelihood {loglik:.1f}")
            if abs(loglik - last) < 0.05 and index > 2:
                break
            last = loglik


def last_layer_columns(fit: StateFit) -> tuple[Array, float]:
    """Slopes of each step's drift in the weights in which the network is linear (output and linear path), and their ridge.

    Returns:
        Shape (weights, reads - 1, lanes), in the order output weights, output bias, weights of the linear path.
    """
    drift, data = fit.drift, fit.data
    field = drift.field
    hidden: list[Tensor] = []
    inputs: list[Tensor] = []
    handle = field.out.register_forward_hook(lambda module, given, result: hidden.append(given[0].detach()))
    other = field.skip.register_forward_hook(lambda module, given, result: inputs.append(given[0].detach()))  # type: ignore[union-attr]
    state = _tensor(fit.reference[:-1])
    lanes = _tensor(fit.latents[data.group]).expand(*state.shape, -1)
    bias = field.out.bias.detach().clone()
    with torch.no_grad(), kernels.use("torch"):
        fit.changes(state, lanes, _tensor(fit.first()).expand(state.shape))
        field.out.bias.add_(1e-6)
        above = fit.changes(state, lanes, _tensor(fit.first()).expand(state.shape))
        field.out.bias.sub_(2e-6)
        below = fit.changes(state, lanes, _tensor(fit.first()).expand(state.shape))
        field.out.bias.copy_(bias)
    handle.remove()
    other.remove()
    slope = (above - below) / 2e-6
    # The last evaluation of the unshifted call: that of the midpoint, where steps hold several pulses.
    index = len(hidden) // 3 - 1
    rows = [hidden[index].reshape(-1, hidden[index].shape[-1]).T, torch.ones(1, slope.numel(), dtype=torch.float64)]
    rows.append(inputs[index].reshape(-1, inputs[index].shape[-1]).T)
    columns = torch.cat(rows).reshape(-1, *slope.shape) * slope
    return columns.numpy(), RIDGE


def moments(data: PulseData) -> tuple[float, float]:
    """Accumulating and read noise from the increments of single-pulse steps: var = q + 2 r, covariance of neighbours = -r."""
    step = np.diff(data.reads, axis=0)
    both = data.seen[1:] & data.seen[:-1]
    step = np.where(both, step, np.nan)
    step = step - np.nanmedian(step)
    pair = step[1:] * step[:-1]
    scale = np.nanmedian(np.abs(step)) / 0.6745 + 1e-12
    clipped = step.clip(-5 * scale, 5 * scale)
    variance = float(np.nanmean(clipped**2))
    read = max(-float(np.nanmean(pair.clip(-((5 * scale) ** 2), (5 * scale) ** 2))), 0.05 * variance)
    return float(np.sqrt(max(variance - 2 * read, 0.02 * variance))), float(np.sqrt(read))


def begin(
    data: PulseData, latents: Latents, *, tied: bool, hidden: tuple[int, ...], memory: bool, seed: int, spread: float
) -> StateFit:
    """A fit before its first round: noise by moments, reference by a random-walk filter."""
    accumulating, read = moments(data)
    model = NoiseModel(data.polarities, memory)
    generator = torch.Generator().manual_seed(seed)
    rate = np.abs(_slopes(data))
    kappa = float(np.clip(np.median(rate[rate > 0]) if (rate > 0).any() else 1e-3, 1e-6, 1.0))
    drift = Drift(latents, len(data.extra), kappa, tied=tied, hidden=hidden, generator=generator)
    size = len(latents.names)
    fit = StateFit(
        data, drift, np.zeros((data.groups, size)), np.full(size, spread), model, model.start(accumulating, read),
        data.reads.copy(), np.zeros_like(data.seen),
    )  # fmt: skip
    flat = Steps(data.reads, data.seen, np.zeros_like(data.pulses), np.ones_like(data.pulses), data.reads[:-1], fit.filled)
    walk = kalman.run(flat, model.variances(fit.noise[None], data, np.zeros_like(data.reads)))
    fit.reference = np.where(data.seen, walk.mean[0], data.reads)
    fit.latents = first_latents(fit)
    return fit


def first_latents(fit: StateFit) -> Array:
    """A first guess of latents: each device's own range and rates beside those of the typical one.

    Where devices are driven one way (the centre is tied to the first state), the range is how far they came, and the rate that
    at which they came half of it; else the range is the deviation of the reads, the rate their mean change per pulse.
    """
    data, latents = fit.data, fit.drift.latents
    x, lanes = fit.reference, np.arange(data.reads.shape[1])
    noise = float(np.exp(fit.noise[fit.noise_model.names.index("log read")]))
    values = {name: np.zeros(data.groups) for name in latents.names}
    if fit.drift.tied:
        last = data.seen.sum(0) - 1
        way = np.abs(x[last, lanes] - x[0]) + noise
        half = (np.abs(x - x[0]) >= 0.5 * way).argmax(0)
        count = np.cumsum(np.concatenate([np.zeros((1, len(lanes))), data.pulses]), 0)[half, lanes]
        rate = 0.5 * way / np.maximum(count, 1)
        own = {"log range": np.log(way), **{name: np.log(rate) for name in latents.names if name.startswith("log rate")}}
    else:
        counted = np.maximum(data.seen.sum(0), 1)
        mean = (x * data.seen).sum(0) / counted
        spread = np.sqrt((((x - mean) * data.seen) ** 2).sum(0) / counted) + noise
        own = {"centre": mean, "log range": np.log(spread)}
        for name in latents.polarities:
            pulses = data.pulses * (data.polarity == (1 if name == SET else -1))
            change = np.abs((np.diff(x, axis=0) * (pulses > 0)).sum(0)) + noise
            own[f"log rate {name}"] = np.log(change / np.maximum(pulses.sum(0), 1))
    for name in values:
        if name in own:
            values[name] = np.bincount(data.group, own[name], data.groups) / np.bincount(data.group, minlength=data.groups)
            values[name] = (values[name] - np.median(values[name])).clip(-3, 3)
    return np.stack([values[name] for name in latents.names], 1) if values else np.zeros((data.groups, 0))


def _slopes(data: PulseData, window: int = 20) -> Array:
    """Mean change per pulse over stretches, by lane."""
    window = min(window, len(data.reads) - 1)
    change = data.reads[window:] - data.reads[:-window]
    signed = np.cumsum(np.concatenate([np.zeros((1, data.pulses.shape[1])), data.pulses]), 0)
    count = signed[window:] - signed[:-window]
    good = data.seen[window:] & data.seen[:-window] & (count > 0)
    return np.asarray(np.where(good, change / np.maximum(count, 1), 0.0))


def _options(loss: Callable[[Array], tuple[float, Array]], start: Array, iterations: int) -> dict[str, float]:
    """Stop where a step gains less than a hundredth in log likelihood, which is nothing beside its statistical scatter."""
    return {"maxiter": iterations, "maxcor": 20, "ftol": 1e-2 / max(abs(loss(start)[0]), 1.0)}


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _flat(weights: list[Any]) -> Array:
    return np.concatenate([weight.detach().numpy().ravel() for weight in weights])


def _assign(weights: list[Any], flat: Array) -> None:
    position = 0
    with torch.no_grad():
        for weight in weights:
            weight.copy_(_tensor(flat[position : position + weight.numel()]).reshape(weight.shape))
            position += weight.numel()


def _grad(weight: Any) -> Array:
    return np.asarray(weight.grad.numpy().ravel() if weight.grad is not None else np.zeros(weight.numel()))
