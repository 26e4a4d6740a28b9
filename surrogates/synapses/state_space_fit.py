"""`StateFit`: drift, latent parameters and noise of a synapse, improved block by block by the likelihood of the reads.

Least squares on the trajectory would be wrong here: accumulated noise leaves correlated residuals. The Kalman filter predicts
each read from those before it. The drift is linearised at the filtered states, which are updated as drift and noise change (an
iterated extended Kalman filter). Three blocks are improved in turn, see `schedule`:

1. the network, by L-BFGS with the adjoint of the filter;
2. the latent parameters of each device, by Gauss-Newton steps under their prior, whose width is learned (empirical Bayes);
3. the noise, by L-BFGS with central differences, whose perturbed runs are lanes of one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from ...typing import Array
from . import kalman
from .drift import Drift
from .flat_weights import as_tensor, assign, flat_gradient, flatten
from .kalman import Filtered, Mask, Noise, Steps
from .noise import NoiseModel
from .pulse_data import PulseData
from .telegraph import TelegraphNoise, estimate_rates
from .telegraph_histories import most_likely_history

#: Ridge on the weights of the network, in units of a log likelihood.
RIDGE = 1.0


@dataclass
class StateFit:
    """Parameters of a fit, and the path at which the drift is linearised.

    Attributes:
        data: The recordings.
        drift: Network, in double precision.
        latents: Latent parameters, shape (groups, latents).
        spread: Standard deviation of the prior of each latent parameter, shape (latents,).
        middle: Mean of that prior, shape (latents,).
        covariance: Posterior covariance of the latents, shape (groups, latents, latents).
        noise_model: Form of the noise.
        noise: Its parameters.
        reference: x^ at each read, shape (reads, lanes).
        filled: True where the trap is filled at a read, shape (reads, lanes).
        telegraph: Rates of random telegraph noise; None without.
        history: Log likelihood after each round.
    """

    data: PulseData
    drift: Drift
    latents: Array
    spread: Array
    noise_model: NoiseModel
    noise: Array
    reference: Array
    filled: Mask
    telegraph: TelegraphNoise | None = None
    covariance: Array = field(default_factory=lambda: np.zeros(0))
    middle: Array = field(default_factory=lambda: np.zeros(1))
    history: list[dict[str, float]] = field(default_factory=list)

    # --- the drift along the path ------------------------------------------------------------------------------------

    def first(self) -> Array:
        """Return the state at the first read of each lane."""
        return np.asarray(self.reference[0])

    def changes(self, state: Tensor, latents: Tensor, first: Tensor) -> Tensor:
        """Return the drift of each step, shape (reads - 1, lanes), for latents of shape (reads - 1, lanes, latents)."""
        data = self.data
        return self.drift.change(
            state, as_tensor(data.pulses), as_tensor(np.where(data.polarity == 0, 1.0, data.polarity)),
            [as_tensor(row) for row in data.extra], latents, first,
        )  # fmt: skip

    def steps(self) -> Steps:
        """Return the recordings with the drift and its slope at the reference."""
        state = as_tensor(self.reference[:-1]).requires_grad_()
        lanes = as_tensor(self.latents[self.data.group]).expand(*state.shape, -1)
        drift = self.changes(state, lanes, as_tensor(self.first()).expand(state.shape))
        (slope,) = torch.autograd.grad(drift.sum(), state)
        # Slopes are bounded, so that the filter is stable while the network is still wrong.
        return Steps(
            self.data.reads, self.data.seen, drift.detach().numpy(), 1 + slope.numpy().clip(-0.95, 0.2), self.reference[:-1],
            self.filled,
        )  # fmt: skip

    def filtered(self, steps: Steps | None = None) -> Filtered:
        """Run the filter with the present parameters."""
        steps = self.steps() if steps is None else steps
        return kalman.run(steps, self.variances(steps))

    def variances(self, steps: Steps, parameters: Array | None = None) -> Noise:
        """Return the variances along the steps, by default under the present noise parameters."""
        sets = self.noise[None] if parameters is None else parameters
        return self.noise_model.variances(sets, self.data, self.reference, steps.drift)

    def relinearise(self, passes: int = 2) -> float:
        """Move the reference to the filtered states and return the log likelihood; lanes that get worse keep theirs."""
        return float(self._relinearise_lanes(passes).sum())

    def _relinearise_lanes(self, passes: int = 2) -> Array:
        """Move the reference and return the log likelihood of each lane."""
        previous = self.reference
        result = self.filtered()
        before = result.loglik
        for _ in range(passes):
            self.reference = np.where(self.data.seen, result.mean[0], self.reference).clip(-8, 8)
            result = self.filtered()
        worse = ~(result.loglik > before - 1e3)
        self.reference = np.where(worse, previous, self.reference)
        return np.where(worse, before, result.loglik)

    def path_range(self) -> tuple[float, float]:
        """Return the smallest and largest state of the path."""
        states = self.reference[self.data.seen]
        return float(states.min()), float(states.max())

    def improve_limits(self) -> None:
        """Move the limits of the state, if there are any, to the ends of the path, which is closer to the truth than reads."""
        if self.drift.limits is not None:
            low, high = self.path_range()
            if high > low:
                self.drift.limits = (low, high)

    # --- the three blocks --------------------------------------------------------------------------------------------

    def improve_network(self, iterations: int, *, joint: bool = True) -> None:
        """Improve the weights of the network by L-BFGS at fixed reference and noise.

        Latents that are inputs of the network have a meaning only together with its weights: they are improved with them
        unless `joint` is False.
        """
        joint = joint and self.has_joint_latents
        steps = self.steps()
        noise = self.variances(steps)
        weights = [p for p in self.drift.field.parameters() if p.requires_grad]
        # Latents in units of their spread, shape (groups, latents), as a parameter that `assign` sets like a weight.
        scaled = torch.nn.Parameter(as_tensor((self.latents - self.middle) / self.spread), requires_grad=joint)
        searched = [*weights, scaled] if joint else weights
        middle, spread = as_tensor(self.middle + np.zeros_like(self.spread)), as_tensor(self.spread)
        state, first = as_tensor(self.reference[:-1]), as_tensor(self.first())
        group = torch.from_numpy(self.data.group)
        first = first.expand(state.shape)
        ridge = np.concatenate([np.full(weight.numel(), RIDGE if weight is not scaled else 1.0) for weight in searched])

        def loss(flat: Array) -> tuple[float, Array]:
            assign(searched, flat)
            for weight in searched:
                weight.grad = None
            lanes = (middle + spread * scaled)[group].expand(*state.shape, -1)
            drift = self.changes(state, lanes, first)
            trial = replace(steps, drift=drift.detach().numpy())
            result = kalman.run(trial, noise)
            drift.backward(as_tensor(-kalman.drift_gradient(trial, noise, result)))
            gradient = np.concatenate([flat_gradient(weight) for weight in searched]) + ridge * flat
            value = -float(result.loglik.sum()) + 0.5 * float(ridge @ flat**2)
            return value, gradient

        start = flatten(searched)
        optimum = minimize(loss, start, jac=True, method="L-BFGS-B", options=_options(loss, start, iterations))
        reference, latents = self.reference, self.latents

        def move(share: float) -> float:
            """Move a share of the way to the optimum, and return the penalised likelihood there."""
            assign(searched, start + share * (optimum.x - start))
            if joint:
                self.latents = self.middle + self.spread * scaled.detach().numpy() if share else latents
            self.reference = reference
            return self._penalised_loglik() - (float(self._penalty(self.latents).sum()) if joint else 0.0)

        before = move(0.0)
        # The loss above linearises the drift; far from its path, the likelihood itself may not have improved.
        for share in (1.0, 0.5, 0.2, 0.05):
            if move(share) > before:
                return
        move(0.0)

    @property
    def has_joint_latents(self) -> bool:
        """True if all latents are inputs of the network."""
        return 0 < self.drift.latents.shape == len(self.drift.latents.names)

    def posterior(self) -> float:
        """Return the log posterior of drift and noise, including the history of the trap."""
        prior = float(self.noise_model.prior(self.noise[None])[0])
        return self._penalised_loglik() + prior + self._telegraph_log_probability()

    def _penalised_loglik(self) -> float:
        """Move the reference; return the log likelihood minus the ridge, minus infinity if a run diverges."""
        loglik = self.relinearise() - 0.5 * RIDGE * float((flatten(list(self.drift.field.parameters())) ** 2).sum())
        return loglik if np.isfinite(loglik) else -np.inf

    def latent_columns(self) -> Array:
        """Return the derivatives of each step's drift in the latents of its lane, shape (latents, reads - 1, lanes)."""
        state = as_tensor(self.reference[:-1])
        lanes = as_tensor(self.latents[self.data.group]).expand(*state.shape, -1).clone().requires_grad_()
        drift = self.changes(state, lanes, as_tensor(self.first()).expand(state.shape))
        (slopes,) = torch.autograd.grad(drift.sum(), lanes)
        return np.ascontiguousarray(slopes.numpy().transpose(2, 0, 1))

    def improve_latents(self, rounds: int = 2) -> None:
        """Improve the latents of all groups by damped Gauss-Newton steps under the prior N(middle, spread^2)."""
        groups, size = self.latents.shape
        if not size:
            return
        damping = np.ones(groups)
        initial, initial_reference, initial_loglik = self.latents.copy(), self.reference, self._relinearise_lanes()
        steps = self.steps()
        objective = self._group_loglik(steps)
        for _ in range(rounds):
            noise = self.variances(steps)
            matrix, vector = kalman.information(steps, noise, kalman.run(steps, noise), self.latent_columns())
            precision, gradient = np.zeros((groups, size, size)), np.zeros((groups, size))
            np.add.at(precision, self.data.group, matrix)
            np.add.at(gradient, self.data.group, vector)
            precision += np.diag(self.spread**-2)
            gradient -= (self.latents - self.middle) / self.spread**2
            self.covariance = np.asarray(np.linalg.inv(precision), np.float64)
            diagonal = np.einsum("gii->gi", precision)
            damped = precision + damping[:, None, None] * 1e-3 * diagonal[:, :, None] * np.eye(size)
            step = np.linalg.solve(damped, gradient[..., None])[..., 0].clip(-0.7, 0.7)
            previous = self.latents.copy()
            self.latents = (previous + step).clip(-6, 6)
            trial = self.steps()
            trial_objective = self._group_loglik(trial)
            worse = ~(trial_objective >= objective)
            self.latents[worse] = previous[worse]
            damping = np.where(worse, damping * 30, damping / 5)
            objective = np.where(worse, objective, trial_objective)
            steps = self.steps() if worse.any() else trial
        # As for the network: undo groups whose gain exists for the linearised drift only.
        gain = np.zeros(groups)
        np.add.at(gain, self.data.group, self._relinearise_lanes() - initial_loglik)
        gain -= self._penalty(self.latents) - self._penalty(initial)
        undone = ~(gain > -1e-9)
        self.latents[undone] = initial[undone]
        self.reference = np.where(undone[self.data.group], initial_reference, self.reference)

    def log_posterior(self, latents: Array) -> Array:
        """Return the log posterior of each group at other latents, with the drift linearised along their own filtered path.

        Args:
            latents: Shape (groups, latents).

        Returns:
            Shape (groups,).
        """
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

    def improve_spread(self, minimum: float = 0.005) -> None:
        """Improve mean and standard deviation of the prior by empirical Bayes.

        A group is weighted by how much narrower than the prior its posterior is: a ramp of SET pulses does not determine RESET
        rates.
        """
        if self.latents.size and len(self.covariance):
            variance = np.einsum("gii->gi", self.covariance)
            weight = (1 - variance / self.spread**2).clip(1e-6, 1.0)
            self.middle = (weight * self.latents).sum(0) / weight.sum(0)
            second = (weight * ((self.latents - self.middle) ** 2 + variance)).sum(0) / weight.sum(0)
            self.spread = np.sqrt(second).clip(minimum, 3.0)

    def improve_noise(self, iterations: int) -> None:
        """Improve the noise parameters by L-BFGS; gradients by central differences, whose runs are lanes of one pass."""
        steps = self.steps()

        def loss(flat: Array) -> tuple[float, Array]:
            count = len(flat)
            shifts = np.concatenate([np.zeros((1, count)), 1e-4 * np.eye(count), -1e-4 * np.eye(count)])
            values = self.noise_loglik(flat + shifts, steps)
            return -float(values[0]), -(values[1 : count + 1] - values[count + 1 :]) / 2e-4

        bounds = self.noise_model.bounds
        start = self.noise.clip(*np.array(bounds).T)
        options = _options(loss, start, iterations)
        optimum = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if np.isfinite(optimum.x).all():
            self.noise = optimum.x

    def noise_loglik(self, parameters: Array, steps: Steps | None = None) -> Array:
        """Return the log posterior of several sets of noise parameters at a fixed drift, shape (sets,)."""
        steps = self.steps() if steps is None else steps
        sets = len(parameters)
        noise = self.variances(steps, parameters)
        result = kalman.run(steps.tiled(sets), noise)
        return np.asarray(result.loglik.reshape(sets, -1).sum(1) + self.noise_model.prior(parameters))

    def noise_covariance(self) -> Array:
        """Return the Laplace approximation at a fixed drift: the inverse Hessian of the negative log posterior."""
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

    # --- random telegraph noise --------------------------------------------------------------------------------------

    def find_telegraph_noise(self) -> float:
        """Add random telegraph noise, or update its history; return the gain in log probability, including its history's."""
        steps = self.steps()
        before = float(self.filtered(steps).loglik.sum()) + self._telegraph_log_probability()
        if self.telegraph is None:
            depth_deviation = 3 * float(np.sqrt(np.median(self.filtered(steps).variance[self.data.seen])))
            self.noise_model = replace(self.noise_model, telegraph=True)
            self.noise = np.append(self.noise, [0.0, np.log(depth_deviation)])
            self.telegraph = TelegraphNoise(1e-3, 2e-3, 0.0, depth_deviation)
        noise = self.variances(steps)
        telegraph = replace(self.telegraph, depth=float(self.noise[-2]), depth_deviation=float(np.exp(self.noise[-1])))
        self.filled, log_probability = most_likely_history(steps, noise, self.data.pulses, telegraph)
        fill, leave = estimate_rates(self.filled, self.data.seen, self.data.pulses)
        self.telegraph = replace(telegraph, fill=fill, leave=leave)
        return float(log_probability.sum()) - before

    def _telegraph_log_probability(self) -> float:
        if self.telegraph is None:
            return 0.0
        return self.telegraph.log_probability(self.filled, self.data.seen, self.data.pulses)


def _options(loss: Callable[[Array], tuple[float, Array]], start: Array, iterations: int) -> dict[str, float]:
    """Return options of L-BFGS: stop when a step gains less than 0.01 in log likelihood, far below its statistical scatter."""
    return {"maxiter": iterations, "maxcor": 20, "ftol": 1e-2 / max(abs(loss(start)[0]), 1.0)}
