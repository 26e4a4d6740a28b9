"""`TaskNorm` against its equation, by task, and over several processes."""

from __future__ import annotations

import pytest
import torch

from spinode.errors import ConfigError
from spinode.training import TaskNorm


def draw(*shape, seed=0):
    return 3 + 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norm(tasks=0):
    made = TaskNorm(4, tasks).double()
    with torch.no_grad():
        made.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        made.bias.copy_(torch.tensor([0.0, 1.0, 0.0, -1.0]))
    return made


def test_it_is_its_equation_in_training_and_in_tests():
    x, made = draw(9, 4), norm()
    expected = made.weight * (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() + made.bias
    torch.testing.assert_close(made(x), expected)
    torch.testing.assert_close(made.eval()(x), expected)


def test_a_task_gets_the_affine_that_was_kept_for_it():
    x, made = draw(9, 4), norm(tasks=3)
    first = made(x).detach()
    made.keep(0)
    with torch.no_grad():
        made.weight.mul_(-2)
        made.bias.add_(5)
    newest = made(x)
    assert not torch.allclose(first, newest)
    torch.testing.assert_close(made(x, 0), first)
    for without in (1, 2, 7, None):  # nothing kept, or no such task
        torch.testing.assert_close(made(x, without), newest)


def test_the_kept_ones_are_in_the_state():
    made, other = norm(tasks=2), TaskNorm(4, 2).double()
    made.keep(1)
    with torch.no_grad():
        made.weight.zero_()
    other.load_state_dict(made.state_dict())
    torch.testing.assert_close(other(draw(9, 4), 1), made(draw(9, 4), 1))
    assert other.kept.tolist() == [False, True]


def test_gradients_are_those_of_autograd():
    made = norm()
    assert torch.autograd.gradcheck(lambda x: made(x), draw(5, 4).requires_grad_())


def test_still_gives_the_same_values_and_derivatives_that_are_those_of_a_scaling():
    x, made = draw(5, 4).requires_grad_(), norm()
    y = made(x, still=True)
    torch.testing.assert_close(y, made(x))
    y.sum().backward()
    scale = made.weight / (x.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(x.grad, scale.expand(5, 4).detach())


def test_a_single_sample_is_refused():
    with pytest.raises(ConfigError, match="batch of one sample"):
        norm()(draw(1, 4))


def share_of_a_process(rank, folder):
    """What a process gets: its output, and the gradient of the sum of all processes' losses."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        x, made = draw(8, 4)[rank::2].clone().requires_grad_(), norm()
        y = made(x)
        y.sin().sum().backward()
        torch.save({"y": y.detach(), "x": x.grad, "w": made.weight.grad}, f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without processes")
def test_two_processes_norm_over_the_whole_batch(tmp_path):
    import os
    import subprocess
    import sys

    line = "import runpy, sys; runpy.run_path(sys.argv[1])['share_of_a_process'](int(sys.argv[2]), sys.argv[3])"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [
        subprocess.Popen([sys.executable, "-c", line, __file__, str(rank), str(tmp_path)], env=environment) for rank in (0, 1)
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    x, made = draw(8, 4).requires_grad_(), norm()
    y = made(x)
    y.sin().sum().backward()
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for rank, part in enumerate(parts):
        torch.testing.assert_close(part["y"], y.detach()[rank::2])
        torch.testing.assert_close(part["x"], x.grad[rank::2])
    torch.testing.assert_close(parts[0]["w"] + parts[1]["w"], made.weight.grad)
