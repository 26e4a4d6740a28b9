"""Latent modes as a surrogate: the contract of all surrogates, the observer, files, and a fit from a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import spinode
from spinode.datasets import ManyModes, ramped_steps
from spinode.dynamics.scales import Scales
from spinode.errors import ConfigError, ExportError, FileFormatError, TraceError
from spinode.kernels import native
from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.latent.layout import LatentLayout
from spinode.surrogates.neural_ode.latent.member import LatentMember
from spinode.surrogates.neural_ode.ports import Ports
from spinode.surrogates.neural_ode.surrogate import Surrogate
from spinode.surrogates.testing import SurrogateContract

needs_kernel = pytest.mark.skipif(not native.built, reason="the compiled kernels are not built")
INTERVAL = 5e-12


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def two_outputs(members: int = 1, parameters: tuple[str, ...] = ()) -> Surrogate:
    """Return three modes under two drives with two outputs, with weak forces."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = 2 + len(parameters)
    layout = LatentLayout(modes=3, inputs=inputs, outputs=2, drives=2, hidden=4, readout=2)
    made = []
    for _ in range(members):
        arrays = layout.split(0.1 * random(layout.weights))
        arrays["log_decay"] = arrays["log_decay"] - 1.5
        arrays["frequency"] = vector(0.2, 0.4, 0.6)
        arrays["read_matrix"] = arrays["read_matrix"] + 0.3
        made.append(LatentMember(layout, layout.join(arrays)))
    names = ("a", "b", *parameters)
    return Surrogate(
        ports=Ports(("a", "b"), ("y", "z"), parameters, dict.fromkeys((*names, "y", "z"), "V"), {"a": "held", "b": "linear"}),
        embedding=Embedding("latent", 3),
        interval=1e-9,
        scales=Scales(vector(1.0, -2.0), vector(2.0, 0.5), vector(2.0, 0.5)[None], random(inputs), 1 + random(inputs).abs()),
        members=made,
        domain=Domain(random(400, layout.state + inputs), 6.0, len(parameters)),
        noise=vector(1e-3, 1e-3),
    )


class TestTwoOutputs(SurrogateContract):
    def make(self) -> Surrogate:
        return two_outputs()


class TestEnsembleWithParameter(SurrogateContract):
    def make(self) -> Surrogate:
        return two_outputs(2, ("width",))


def test_the_observer_finds_the_state() -> None:
    surrogate = two_outputs()
    generator = torch.Generator().manual_seed(1)
    drive = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    start = 0.5 * torch.randn(6, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        outputs, states, _ = surrogate.run_members(drive, start, None, None, "rk4")
    found = surrogate.state_from(outputs[0], drive)
    assert found.shape == (300, 6)
    assert float((found[0] - start).norm()) < 0.1 * float(start.norm())
    assert float((found - states[0])[50:].square().mean().sqrt()) < 0.02 * float(states[0].std())


@needs_kernel
def test_gradients_do_not_depend_on_the_kernel() -> None:
    surrogate = two_outputs()
    drive = torch.randn(20, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    state = torch.zeros(6, dtype=torch.float64)
    with torch.no_grad():
        plain = surrogate.simulate(drive, state=state)
    tracked = surrogate.simulate(drive.requires_grad_(), state=state)
    torch.testing.assert_close(tracked.detach(), plain, rtol=1e-10, atol=1e-12)
    tracked.sum().backward()
    assert float(drive.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_outputs_alone_have_no_state() -> None:
    with pytest.raises(ConfigError, match="drives together"):
        Embedding("latent", 3).embed(torch.zeros(50, 1).numpy())
    assert Embedding("latent", 3).state_size(outputs=5) == 6
    with pytest.raises(ConfigError, match="1 to 32"):
        Embedding("latent", 33)


def test_a_file_with_other_sizes_is_refused(tmp_path: Path) -> None:
    surrogate = two_outputs()
    kind = surrogate.embedding.method
    monkey = {"hidden": 5, "readout": 2, "substeps": 1}
    surrogate.save(tmp_path / "good.safetensors")
    assert Surrogate.load(tmp_path / "good.safetensors").members[0].field.substeps == 1  # type: ignore[union-attr]
    original = type(kind).pack_member
    try:
        type(kind).pack_member = lambda self, member: monkey  # type: ignore[method-assign,assignment]
        surrogate.save(tmp_path / "bad.safetensors")
    finally:
        type(kind).pack_member = original  # type: ignore[method-assign]
    with pytest.raises(FileFormatError):
        Surrogate.load(tmp_path / "bad.safetensors")


def test_an_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="latent"):
        two_outputs().export(tmp_path / "device.pt2")


def test_latent_modes_need_a_drive_and_no_field() -> None:
    wave = np.sin(0.3 * np.arange(400))
    with pytest.raises(TraceError, match="has no drive; latent modes"):
        spinode.fit(spinode.Trace(1e-11 * np.arange(400), output={"y": wave}), embedding="latent")
    with pytest.raises(ConfigError, match="vector_field was given with embedding='latent'"):
        spinode.fit(
            spinode.Trace(1e-11 * np.arange(400), {"u": wave}, {"y": wave}),
            embedding="latent",
            vector_field=lambda *sizes: spinode.MLPField(2, 1, 1),
        )


@needs_kernel
def test_fit_of_a_ramp(tmp_path: Path) -> None:
    device = ManyModes(modes=2, lowest=8e9, highest=12e9, force=0.03)
    generator = torch.Generator().manual_seed(0)
    settings = {"interval": INTERVAL, "hold": (2e-11, 1e-10), "generator": generator}
    trace = device.simulate(ramped_steps(-0.6, 0.6, duration=12e-9, **settings), INTERVAL)
    surrogate = spinode.fit(trace, embedding="latent", hidden=6, iterations=5)
    assert surrogate.embedding == Embedding("latent", 2)
    assert surrogate.record["linear_validation"] > 5 * surrogate.record["validation"][0]
    surrogate.save(tmp_path / "modes.safetensors")
    loaded = spinode.Surrogate.load(tmp_path / "modes.safetensors")
    steps = ramped_steps(-0.6, 0.6, duration=6e-9, stretches=(), **settings)
    other = device.simulate(torch.cat([torch.zeros(20, dtype=torch.float64), steps]), INTERVAL)
    scores = spinode.evaluate(loaded, other)
    assert scores.nrmse < 0.05
    assert scores.regime_change_at is None
    assert spinode.evaluate(loaded, other, from_rest=True).nrmse < 0.05
    memory = loaded.initial_state(torch.zeros(3, 1, dtype=torch.float64))
    response = loaded.step_block(memory, 0.1 * torch.ones(3, 5, 1, dtype=torch.float64))
    assert response.output.shape == (3, 5, 1)
