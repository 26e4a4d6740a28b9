"""Small surrogates with known equations, for tests of code that works with surrogates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...dynamics.field import ChainField, MLPField
from ...dynamics.scales import Scales
from ...random import seeded_generator
from ..neural_ode.domain import Domain
from ..neural_ode.embedding import Embedding
from ..neural_ode.member import Member
from ..neural_ode.ports import Ports
from ..neural_ode.surrogate import Surrogate


def resonator(
    *, period: float = 20.0, damping: float = 0.05, gain: float = 0.5, interval: float = 1e-11, noise: float = 0.0
) -> Surrogate:
    """Return an exact driven linear resonator as a surrogate with one drive "V" [V] and one output "y" [T].

        y'' + 2 damping w y' + w^2 y = w^2 gain u,    w = 2 pi / (period interval)

    Args:
        period: Period in samples.
        damping: Damping ratio.
        gain: Response to a constant drive of one, in [T/V].
        interval: Sample interval [s].
        noise: Standard deviation of the measurement noise [T].

    Example:
        >>> drive = torch.ones(400, 1, dtype=torch.float64)
        >>> outputs = resonator(gain=0.5).simulate(drive, state=torch.zeros(2, dtype=torch.float64))
        >>> round(float(outputs[-1].detach()), 2)
        0.5
    """
    omega = 2 * math.pi / period
    field = MLPField(2, 1, 1, hidden=(1,))
    assert field.skip is not None
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.zero_()
        field.skip.weight.copy_(torch.tensor([[-omega, -2 * damping * omega, omega * gain]]))
    one = torch.ones(1, dtype=torch.float64)
    scales = Scales(0 * one, one, torch.tensor([[1.0], [omega]], dtype=torch.float64), 0 * one, one)
    return Surrogate(
        ports=Ports(("V",), ("y",), units={"V": "V", "y": "T"}, interpolation={"V": "spline"}),
        embedding=Embedding("derivative", 2),
        interval=interval,
        scales=scales,
        members=[Member(ChainField(field, scales.ratios), torch.zeros(1, 1, dtype=torch.float64))],
        domain=Domain(_cloud(3, 0), 2.0),
        noise=noise * one,
        spread_floor=noise * one,
    )


def small_surrogate(
    *,
    kind: str = "derivative",
    order: int = 2,
    drives: int = 1,
    outputs: int = 1,
    parameters: int = 0,
    members: int = 1,
    seed: int = 0,
) -> Surrogate:
    """Return a stable surrogate of any layout with a slightly nonlinear random vector field.

    Args:
        kind: Embedding.
        order: Order of the embedding.
        drives: Number of drives, named "u0", "u1", ... [V].
        outputs: Number of outputs, named "y0", "y1", ... [T].
        parameters: Number of parameters, named "p0", "p1", ... [K].
        members: Size of the ensemble.
        seed: Seed of all random numbers.

    Example:
        >>> small_surrogate(drives=2, outputs=3).outputs
        ('y0', 'y1', 'y2')
    """
    generator = seeded_generator(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    embedding = Embedding(kind, order)
    state, inputs, rate = order * outputs, drives + parameters, 0.3
    steps = rate ** torch.arange(order, dtype=torch.float64)[:, None]
    output_scale = torch.logspace(0, -3, outputs, dtype=torch.float64)
    scales = Scales(
        random(outputs), output_scale, steps * output_scale, 1e5 + 1e4 * random(inputs), 1e4 * (1 + random(inputs).abs())
    )

    def member() -> Member:
        width = embedding.drive_size(inputs)
        field = MLPField(state, width, embedding.rates(outputs), hidden=(4,), generator=generator)
        assert field.skip is not None
        with torch.no_grad():
            field.out.weight.mul_(0.3)
            field.out.bias.zero_()
            field.skip.weight[:, :state] = _damped(embedding.chain, order, outputs, rate)
        feedthrough = (0.1 if embedding.method.feedthrough else 0.0) * random(outputs, drives)
        return Member(embedding.vector_field(field, scales.ratios), feedthrough)

    names = {"drive": "u", "output": "y", "parameters": "p"}
    counts = {"drive": drives, "output": outputs, "parameters": parameters}
    channels = {role: tuple(f"{letter}{i}" for i in range(counts[role])) for role, letter in names.items()}
    units = {"drive": "V", "output": "T", "parameters": "K"}
    return Surrogate(
        ports=Ports(
            drive=channels["drive"],
            output=channels["output"],
            parameters=channels["parameters"],
            units={name: units[role] for role, listed in channels.items() for name in listed},
            interpolation=dict.fromkeys(channels["drive"], "spline"),
        ),
        embedding=embedding,
        interval=2e-12,
        scales=scales,
        members=[member() for _ in range(members)],
        domain=Domain(_cloud(state + inputs, seed), 3.0),
        noise=0.01 * output_scale,
        spread_factor=1.5,
        spread_floor=0.02 * output_scale,
        record={"origin": "spinode.testing", "seed": seed},
    )


def _cloud(width: int, seed: int) -> Tensor:
    """Return points around the origin, which is one of them, as the domain of a synthetic surrogate."""
    generator = seeded_generator(seed)
    points = torch.randn(400, width, generator=generator, dtype=torch.float64)
    points[0] = 0
    return points


def _damped(chain: bool, order: int, outputs: int, rate: float) -> Tensor:
    """Return a linear part with all eigenvalues at -rate: (s + rate)^order in the scaled blocks of a chain."""
    eye = torch.eye(outputs, dtype=torch.float64)
    if not chain:
        return -rate * torch.eye(order * outputs, dtype=torch.float64)
    return torch.cat([-rate * math.comb(order, j) * eye for j in range(order)], -1)
