"""`TaskNorm`: its equation, gains and shifts by task, and several processes."""

from __future__ import annotations

import pytest
import torch

from spinode.errors import ConfigError
from spinode.training import TaskNorm


def draw(*shape, seed=0):
    return 3 + 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norm(tasks=0):
    layer = TaskNorm(4, tasks).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        layer.bias.copy_(torch.tensor([0.0, 1.0, 0.0, -1.0]))
    return layer


def test_it_follows_its_equation_in_training_and_in_tests():
    x, layer = draw(9, 4), norm()
    expected = layer.weight * (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() + layer.bias
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.eval()(x), expected)


def test_a_task_uses_its_stored_gain_and_shift():
    x, layer = draw(9, 4), norm(tasks=3)
    first = layer(x).detach()
    layer.store(0)
    with torch.no_grad():
        layer.weight.mul_(-2)
        layer.bias.add_(5)
    newest = layer(x)
    assert not torch.allclose(first, newest)
    torch.testing.assert_close(layer(x, 0), first)
    for without in (1, 2, 7, None):  # not stored, or not a task
        torch.testing.assert_close(layer(x, without), newest)


def test_stored_gains_are_part_of_the_state():
    layer, other = norm(tasks=2), TaskNorm(4, 2).double()
    layer.store(1)
    with torch.no_grad():
        layer.weight.zero_()
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(draw(9, 4), 1), layer(draw(9, 4), 1))
    assert other.is_stored.tolist() == [False, True]


def test_gradients_pass_gradcheck():
    layer = norm()
    assert torch.autograd.gradcheck(lambda x: layer(x), draw(5, 4).requires_grad_())


def test_detached_moments_give_the_derivatives_of_a_scaling():
    x, layer = draw(5, 4).requires_grad_(), norm()
    y = layer(x, detach_moments=True)
    torch.testing.assert_close(y, layer(x))
    y.sum().backward()
    scale = layer.weight / (x.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(x.grad, scale.expand(5, 4).detach())


def test_a_single_sample_is_refused():
    with pytest.raises(ConfigError, match="the batch has one sample, which has no variance"):
        norm()(draw(1, 4))


def share_of_a_process(rank, folder):
    """Write the output of one process and the gradient of the sum of all processes' losses."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        x, layer = draw(8, 4)[rank::2].clone().requires_grad_(), norm()
        y = layer(x)
        y.sin().sum().backward()
        torch.save({"y": y.detach(), "x": x.grad, "w": layer.weight.grad}, f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without processes")
def test_two_processes_normalise_over_the_entire_batch(tmp_path):
    import os
    import subprocess
    import sys

    line = "import runpy, sys; runpy.run_path(sys.argv[1])['share_of_a_process'](int(sys.argv[2]), sys.argv[3])"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [
        subprocess.Popen([sys.executable, "-c", line, __file__, str(rank), str(tmp_path)], env=environment) for rank in (0, 1)
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    x, layer = draw(8, 4).requires_grad_(), norm()
    y = layer(x)
    y.sin().sum().backward()
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for rank, part in enumerate(parts):
        torch.testing.assert_close(part["y"], y.detach()[rank::2])
        torch.testing.assert_close(part["x"], x.grad[rank::2])
    torch.testing.assert_close(parts[0]["w"] + parts[1]["w"], layer.weight.grad)


def test_running_averages_equal_those_of_torch_and_are_stored_by_task():
    ours, theirs = TaskNorm(4, 2, running=True).double(), torch.nn.BatchNorm1d(4).double()
    for seed in range(5):
        torch.testing.assert_close(ours(draw(9, 4, seed=seed)), theirs(draw(9, 4, seed=seed)))
    x = draw(1, 4, seed=9)  # in tests a single sample has statistics too
    first = theirs.eval()(x)
    torch.testing.assert_close(ours.eval()(x), first)
    ours.store(0)
    ours.train()(10 * draw(9, 4, seed=6))
    ours.eval()
    torch.testing.assert_close(ours(x, 0), first)
    assert not torch.allclose(ours(x), first)
    copy = TaskNorm(4, 2, running=True).double()
    copy.load_state_dict(ours.state_dict())
    torch.testing.assert_close(copy.eval()(x, 0), first)
