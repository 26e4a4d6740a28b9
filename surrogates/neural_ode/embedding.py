"""Embeddings: how the state of a device is read from the few outputs that a recording holds.

A device answers with one or a few outputs; its state is larger. Takens' theorem lets delayed samples, or derivatives, of
the outputs stand in for it. Both kinds here number the state as `order` blocks of one value per output,

    x = (b_0, b_1, ..., b_{order-1}),   b_0 = y - D u,

so that the read-out is always y = b_0 + D u. They differ in the blocks above the first:

* "derivative": b_j = d^j b_0 / dt^j. The state at an instant needs nothing from the future; each block is the rate of the
  one before, so only the rate of the last is learned; the feedthrough D (the D of a linear state-space model) carries
  what follows the drive at once, such as the adiabatic part of modes far above the resonance.
* "delay": b_j = j-th forward difference of y over one sample, D = 0: the forward samples y(t), y(t + dt), ... of Chen et
  al., Nat. Commun. 13, 1016 (2022), in a basis whose members have comparable deviation. The drive is embedded alike,
  so the drive must be known order - 1 samples ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import signal
from torch import Tensor

from ...errors import ConfigError, TraceError
from ...typing import Array

KINDS = ("derivative", "delay")
#: Deviations that are granted to a measured state beyond its noise: outputs, and everything derived from them. Fast motion
#: that the embedding leaves out shows up there.
OUTPUT_FLOOR, BLOCK_FLOOR = 1e-3, 2e-2

#: Highest order of each: derivatives beyond the fifth drown in rounding, samples can be many.
HIGHEST = {"derivative": 6, "delay": 24}

#: Windows tried for the local polynomial that estimates derivatives, in samples.
WINDOWS = (7, 9, 13, 19, 27, 39, 55, 79, 111, 157)
DEGREE = 5


@dataclass(frozen=True)
class Embedding:
    """Kind and order of an embedding.

    Attributes:
        kind: "derivative" (causal, the default) or "delay" (the paper's).
        order: Number of blocks k; the state has k values per output.

    Raises:
        ConfigError: an unknown kind, or an order outside 1 .. 6, of a delay embedding 1 .. 24.
    """

    kind: str = "derivative"
    order: int = 2

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"embedding {self.kind!r} is unknown; expected one of {', '.join(KINDS)}.")
        if not (isinstance(self.order, int) and 1 <= self.order <= HIGHEST[self.kind]):
            raise ConfigError(f"embedding order is {self.order!r}; expected a whole number from 1 to {HIGHEST[self.kind]}.")

    def drive_size(self, channels: int) -> int:
        """Number of drive values that the vector field sees at one instant."""
        return channels * self.order if self.kind == "delay" else channels

    @property
    def lookahead(self) -> int:
        """Samples after the present one that the state or the drive input needs."""
        return self.order - 1 if self.kind == "delay" else 0


@dataclass(frozen=True)
class Blocks:
    """Embedded outputs of one uniformly sampled recording.

    Attributes:
        values: b_j for zero feedthrough, per-sample units (the j-th derivative times dt^j), shape (time, order, outputs).
        noise: Deviation of the measurement noise in each block, shape (order, outputs).
        recorded_noise: Deviation of the measurement noise in the samples themselves, which smoothing has lowered in the
            blocks, shape (outputs,).
    """

    values: Array
    noise: Array
    recorded_noise: Array


def local_polynomial(values: Array, order: int) -> tuple[Array, Array, float]:
    """Derivatives 0 .. order-1 by a sliding polynomial of degree 5, its window chosen by leave-one-out error.

    The smoother is linear, so the error of predicting a sample without itself is r / (1 - h), with r the residual and h
    the centre weight: exact cross-validation for the price of one filter. Clean data choose the shortest window (no
    smoothing to speak of), noisy ones a long window; the noise deviation follows from r as rms(r) / sqrt(1 - h).

    Args:
        values: Samples on a uniform grid, shape (time,).
        order: Number of derivatives, counted from the zeroth.

    Returns:
        Derivatives in per-sample units, shape (time, order); the noise deviation in each, shape (order,), which the
        smoothing has lowered; and the noise deviation of the samples.
    """
    best: tuple[float, int, float] | None = None
    for window in WINDOWS:
        if window >= len(values):
            break
        centre = signal.savgol_coeffs(window, DEGREE)[window // 2]
        residual = values - signal.savgol_filter(values, window, DEGREE)
        residual = residual[window // 2 : len(values) - window // 2]
        score = float(np.mean(residual**2)) / (1 - centre) ** 2
        # A longer window must earn its place: within rounding of a clean signal all windows look alike.
        if best is None or score < 0.98 * best[0]:
            best = (score, window, float(np.sqrt(np.mean(residual**2) / (1 - centre))))
    if best is None:
        raise TraceError(f"the stretch holds {len(values)} samples; at least {WINDOWS[0] + 1} are needed for derivatives.")
    _, window, noise = best
    columns, errors = [], []
    for j in range(order):
        columns.append(signal.savgol_filter(values, window, DEGREE, deriv=j))
        errors.append(noise * float(np.linalg.norm(signal.savgol_coeffs(window, DEGREE, deriv=j))))
    return np.stack(columns, -1), np.array(errors), noise


def forward_differences(values: Array, order: int) -> Array:
    """Forward differences 0 .. order-1, shape (time - order + 1, order)."""
    length = len(values) - order + 1
    return np.stack([np.diff(values, n=j)[:length] for j in range(order)], -1)


def embed(embedding: Embedding, outputs: Array) -> Blocks:
    """Embed uniformly sampled outputs.

    Args:
        embedding: Kind and order.
        outputs: Shape (time, outputs).

    Returns:
        Blocks; `embedding.lookahead` samples fewer than came.
    """
    if embedding.kind == "delay":
        recorded = np.array([local_polynomial(column, 1)[2] for column in outputs.T])
        gains = np.sqrt([np.sum(np.square(_binomials(j))) for j in range(embedding.order)])
        values = np.stack([forward_differences(column, embedding.order) for column in outputs.T], -1)
        return Blocks(values, gains[:, None] * recorded[None, :], recorded)
    estimates = [local_polynomial(column, embedding.order) for column in outputs.T]
    blocks = np.stack([values for values, _, _ in estimates], -1)
    noise = np.stack([errors for _, errors, _ in estimates], -1)
    recorded = np.array([deviation for _, _, deviation in estimates])
    clean = recorded < 1e-3 * outputs.std(0)
    blocks[:, 0, clean], noise[0, clean] = outputs[:, clean], recorded[clean]  # clean data: keep the samples themselves
    return Blocks(blocks, noise, recorded)


def _binomials(j: int) -> Array:
    return np.array([abs(c) for c in np.poly1d([1, -1]) ** j]) if j else np.ones(1)


def stage_drive(drive: Tensor, kinds: tuple[str, ...]) -> Tensor:
    """Drive at the start, middle and end of each step between two samples.

    "held" keeps the value of the step's first sample, "linear" is the chord, "spline" takes the middle from the polynomial
    through the six (near an end: four) nearest samples.

    Args:
        drive: Samples, shape (..., time, channels).
        kinds: Interpolation of each channel.

    Returns:
        Shape (..., time - 1, 3, channels).
    """
    first, last = drive[..., :-1, :], drive[..., 1:, :]
    chord = 0.5 * (first + last)
    smooth = chord
    if "spline" in kinds and drive.shape[-2] >= 4:
        smooth = chord.clone()
        cubic = (9 * (first + last)[..., 1:-1, :] - drive[..., :-3, :] - drive[..., 3:, :]) / 16
        smooth[..., 1:-1, :] = cubic
        # The chord would cost a run that starts here its fourth order.
        smooth[..., 0, :] = (5 * drive[..., 0, :] + 15 * drive[..., 1, :] - 5 * drive[..., 2, :] + drive[..., 3, :]) / 16
        smooth[..., -1, :] = (5 * drive[..., -1, :] + 15 * drive[..., -2, :] - 5 * drive[..., -3, :] + drive[..., -4, :]) / 16
        if drive.shape[-2] >= 6:
            quintic = (
                150 * (first + last)[..., 2:-2, :]
                - 25 * (drive[..., 1:-4, :] + drive[..., 4:-1, :])
                + 3 * (drive[..., :-5, :] + drive[..., 5:, :])
            ) / 256
            smooth[..., 2:-2, :] = quintic
    held = torch.tensor([kind == "held" for kind in kinds], dtype=torch.bool, device=drive.device)
    spline = torch.tensor([kind == "spline" for kind in kinds], dtype=torch.bool, device=drive.device)
    middle = torch.where(held, first, torch.where(spline, smooth, chord))
    return torch.stack([first, middle, torch.where(held, first, last)], -2)


def settled_drive(drive: Tensor, kinds: tuple[str, ...]) -> Tensor:
    """Drive just before each sample: what a sample recorded at that instant has answered to, shape as `drive`.

    For a held channel this is the value of the step that ends there; the new value has not acted yet.
    """
    held = torch.tensor([kind == "held" for kind in kinds], dtype=torch.bool, device=drive.device)
    before = torch.cat([drive[..., :1, :], drive[..., :-1, :]], -2)
    return torch.where(held, before, drive)


def drive_blocks(drive: Tensor, kinds: tuple[str, ...], order: int) -> Tensor:
    """The drive and its derivatives in per-sample units, as they enter b_j through the feedthrough.

    Held channels have no derivative inside a step; smooth ones are differentiated centrally, to fourth order.

    Args:
        drive: Samples, shape (time, channels).
        kinds: Interpolation of each channel.
        order: Number of blocks.

    Returns:
        Shape (time, order, channels).
    """
    held = torch.tensor([kind == "held" for kind in kinds], dtype=torch.bool, device=drive.device)
    blocks = [settled_drive(drive, kinds)]
    rate = drive
    for _ in range(1, order):
        rate = _central(rate)
        blocks.append(torch.where(held, torch.zeros_like(rate), rate))
    return torch.stack(blocks, -2)


def _central(values: Tensor) -> Tensor:
    if len(values) < 6:
        return torch.gradient(values, dim=0)[0] if len(values) > 1 else torch.zeros_like(values)
    rate = torch.gradient(values, dim=0, edge_order=2)[0]
    rate[2:-2] = (8 * (values[3:-1] - values[1:-3]) - (values[4:] - values[:-4])) / 12
    return rate


def delayed(stages: Tensor, order: int) -> Tensor:
    """Stage values of a drive embedded by forward samples; beyond the last sample the drive is held.

    Args:
        stages: Shape (..., steps, 3, channels).
        order: Number of samples seen.

    Returns:
        Shape (..., steps, 3, order * channels).
    """
    steps = stages.shape[-3]
    if not steps:
        return stages.tile(order)
    tail = stages[..., -1:, 2:, :].expand(*stages.shape[:-3], 1, 3, stages.shape[-1])
    padded = torch.cat([stages, *[tail] * (order - 1)], -3)
    return torch.cat([padded[..., j : j + steps, :, :] for j in range(order)], -1)
