"""Conversion between SI units and the dimensionless units of vector fields: standard deviations and samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scales(nn.Module):
    """Means and standard deviations of the data that a surrogate was fitted on.

    Args:
        output_mean: Mean of each output, shape (outputs,).
        output_scale: Standard deviation of each output, shape (outputs,).
        state_scale: Standard deviation of each state block, in units per sample, shape (order, outputs); row 0 is
            `output_scale`.
        drive_mean: Mean of each drive and parameter, shape (inputs,).
        drive_scale: Standard deviation of each drive and parameter, shape (inputs,).
    """

    output_mean: Tensor
    output_scale: Tensor
    state_scale: Tensor
    drive_mean: Tensor
    drive_scale: Tensor

    def __init__(
        self, output_mean: Tensor, output_scale: Tensor, state_scale: Tensor, drive_mean: Tensor, drive_scale: Tensor
    ) -> None:
        super().__init__()
        for name, value in (
            ("output_mean", output_mean),
            ("output_scale", output_scale),
            ("state_scale", state_scale),
            ("drive_mean", drive_mean),
            ("drive_scale", drive_scale),
        ):
            self.register_buffer(name, value.detach().clone())

    @property
    def ratios(self) -> Tensor:
        """Scale of block j + 1 over scale of block j, shape (order - 1, outputs)."""
        return self.state_scale[1:] / self.state_scale[:-1]

    def drive(self, values: Tensor) -> Tensor:
        """Convert drives and parameters from SI units to standard deviations."""
        return (values - self.drive_mean) / self.drive_scale

    def output(self, values: Tensor) -> Tensor:
        """Convert outputs from SI units to standard deviations."""
        return (values - self.output_mean) / self.output_scale

    def output_si(self, values: Tensor) -> Tensor:
        """Convert outputs from standard deviations to SI units."""
        return values * self.output_scale + self.output_mean

    def blocks(self, values: Tensor) -> Tensor:
        """Convert embedded outputs in SI units per sample to a state.

        Args:
            values: Outputs and their derivatives, shape (..., order, outputs).

        Returns:
            Shape (..., order * outputs).
        """
        shifted = torch.cat([values[..., :1, :] - self.output_mean, values[..., 1:, :]], -2)
        return (shifted / self.state_scale).flatten(-2)

    def feedthrough_blocks(self, drive: Tensor) -> Tensor:
        """Return the derivative of the state in the feedthrough D, which is in standard deviations per standard deviation.

        Args:
            drive: Drive and its derivatives, in standard deviations and samples, shape (..., order, channels).

        Returns:
            d state / d D, shape (..., state, outputs * channels).
        """
        order, outputs = self.state_scale.shape
        gain = self.output_scale / self.state_scale  # (order, outputs)
        eye = torch.eye(outputs, dtype=drive.dtype, device=drive.device)
        full = -torch.einsum("om,mn,...oc->...omnc", gain, eye, drive)
        return full.reshape(*drive.shape[:-2], order * outputs, outputs * drive.shape[-1])
