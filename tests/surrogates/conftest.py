"""A synapse surrogate with every kind of noise, built from given parameters: the oracle for its own simulated recordings."""

import numpy as np
import pytest
import torch

from spinode.surrogates.synapses.drift import Drift, Latents
from spinode.surrogates.synapses.model import SynapseSurrogate
from spinode.surrogates.synapses.noise import NoiseModel
from spinode.surrogates.synapses.population import Population
from spinode.surrogates.synapses.pulse_data import Inputs, Scale
from spinode.surrogates.synapses.retention import Retention
from spinode.surrogates.synapses.telegraph import TelegraphNoise


def population(devices: int = 40, copies: int = 4) -> Population:
    """Return two kinds of devices, 3:2, of (first state, centre, log range, two log rates, shape) with small uncertainty."""
    r = np.random.default_rng(0)
    means = np.array([[-0.5, 0, 0, 0, 0, 0], [-0.3, 0.2, 0.1, -0.3, 0.1, 0.2]])
    centres = means[(np.arange(devices) % 5 >= 3).astype(int)] + 0.12 * r.normal(size=(devices, 6))
    return Population(centres[:, None] + 0.04 * r.normal(size=(devices, copies, 6)))


def synapse(*, telegraph: bool = True, memory: bool = True, log: bool = True, voltage: bool = True, spread: bool = True):
    """Build a device that SET pulses drive towards the state 1 and RESET pulses towards -1."""
    polarities = ("SET", "RESET")
    latents = Latents(polarities, True, 1) if spread else Latents((), False, 0, window=False)
    drift = Drift(latents, 1 if voltage else 0, 0.05, hidden=(6,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in drift.field.parameters():
            weight *= 0.3
        drift.field.skip.weight[0, :2] = torch.tensor([-0.8, 0.9], dtype=torch.float64)
    model = NoiseModel(polarities, memory=memory, telegraph=telegraph)
    values = {"log accumulating SET": -3.9, "log accumulating RESET": -3.7, "log read": -3.0, "log correlated read": -2.6}
    values |= {"log memory": 1.6, "depth": 0.9, "log depth deviation": -2.0, "its slope": 0.1}
    noise = torch.tensor([values.get(name, 0.05) for name in model.names], dtype=torch.float64)
    linear = sum(weight.numel() for weight in drift.linear_weights)
    return SynapseSurrogate(
        drift=drift,
        noise_model=model,
        noise=noise,
        scale=Scale("log", -9.3, 0.35) if log else Scale("linear", 9e-5, 2e-5),
        inputs=Inputs(
            ("voltage",) if voltage else (), (1.1,) if voltage else (), (0.1,) if voltage else (),
            {"voltage": (0.8, 1.4), "width": (1e-6, 1e-6)} if voltage else {},
            {"voltage": (1.1, 1.2), "width": (1e-6, 1e-6)} if voltage else {},
        ),
        state_range=(-2.0, 2.0),
        polarities=polarities,
        unit="S",
        first=-0.5,
        population=population() if spread else None,
        of_devices=spread,
        telegraph=TelegraphNoise(0.004, 0.01, 0.9, float(np.exp(-2.0))) if telegraph else None,
        retention=Retention(-0.01, 0.002, 0.03, 1e-3, 1e4),
        chunk=8.0,
        posterior_noise=1e-3 * torch.eye(len(noise), dtype=torch.float64),
        posterior_weights=1e-4 * torch.eye(linear, dtype=torch.float64),
        record={"devices": 40 if spread else 1, "recordings": 40, "reads": 4000, "history": [{"loglik": 1.5}]},
    )  # fmt: skip


@pytest.fixture
def make_synapse():
    """Return the function that builds such a surrogate."""
    return synapse
