"""Vector fields of a user's own: exported in full, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from spinode import ExportError
from spinode.dynamics.field import GreyBoxField, MLPField, SIRate


@torch.library.custom_op("spinode_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


twice.register_fake(torch.empty_like)

NOT_EXPORTABLE = {
    "branch on values": (lambda rate: rate if rate.sum() > 0 else 2 * rate, "cannot be exported.*use torch.where"),
    "number of a tensor": (lambda rate: rate * float(rate.abs().max()), "cannot be exported.*keep tensors"),
    "NumPy": (lambda rate: rate + torch.as_tensor(np.sin(rate.detach().numpy())), "cannot be exported.*torch operations"),
    "one batch size": (lambda rate: rate.reshape(3, 1) if rate.shape[0] == 3 else rate, r"violated \(batch\).*any size"),
    "custom operator": (twice, "calls spinode_tests.twice.default, which torch alone does not have"),
    "randomness": (nn.functional.dropout, "the outputs of the exported program differ .*Is the vector field random"),
}


@pytest.mark.parametrize("name", NOT_EXPORTABLE)
def test_field_that_cannot_be_exported_is_refused_with_the_reason(exports, tmp_path, name):
    change, message = NOT_EXPORTABLE[name]
    device = exports.with_field(exports.Spring(change))
    for target in ("x.pt2", "x.onnx") if name != "randomness" else ("x.pt2",):
        with pytest.raises(ExportError, match=message) as caught:
            device.export(tmp_path / target)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_known_physics_is_exported_without_rounding_its_numbers(exports, tmp_path):
    """0.3 and 0.13 are not float32 numbers: a model that rounds them is off by 1e-8."""
    physics = SIRate(lambda blocks, drive: 1e21 * (0.13 * drive - 0.3 * blocks[..., 0, :]))
    network = MLPField(2, 1, 1, hidden=(3,), generator=torch.Generator().manual_seed(0))
    device = exports.with_field(GreyBoxField(physics, network))
    for target in ("x.pt2", "x.onnx"):
        device.export(tmp_path / target, interpolation={"V": "linear"})
    drive, midway, parameters, state = exports.cubic_runs(device, 2, 30)
    expected = exports.simulate(device, {"V": "linear"}, drive, parameters, state).detach()
    step = exports.load_program(tmp_path / "x.pt2")[0].module()
    stepped = exports.roll_out(step, device, {"V": "linear"}, drive, midway, parameters, state)
    rolled, _ = exports.run_onnx(exports.open_session(tmp_path / "x.onnx"), device, drive, parameters, state)
    assert torch.allclose(stepped, expected, rtol=0, atol=1e-11)
    assert torch.allclose(rolled, expected, rtol=0, atol=1e-11)
