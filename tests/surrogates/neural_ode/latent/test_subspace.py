"""Subspace identification on systems whose matrices are known."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.errors import ConfigError, TraceError
from spinode.surrogates.neural_ode.latent.state_space import StateSpace
from spinode.surrogates.neural_ode.latent.subspace import (
    MAX_POLE,
    SubspaceIdentification,
    choose_order,
    identify_subspace,
    stable,
)


def system(order: int, outputs: int, inputs: int, seed: int, *, feedthrough: bool = True) -> StateSpace:
    """Return a random stable system with offsets; complex pairs, and a real pole for odd orders."""
    rng = np.random.default_rng(seed)
    a = np.zeros((order, order))
    for k in range(order // 2):
        size, angle = 0.9 + 0.08 * rng.random(), 0.2 + 2.5 * (k + rng.random()) / max(1, order // 2)
        turn = size * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        a[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = turn
    if order % 2:
        a[-1, -1] = 0.8
    basis = rng.normal(size=(order, order))
    return StateSpace(
        a=np.linalg.solve(basis, a @ basis),
        b=rng.normal(size=(order, inputs)),
        c=rng.normal(size=(outputs, order)),
        d=rng.normal(size=(outputs, inputs)) * feedthrough,
        input_offset=rng.normal(size=inputs),
        output_offset=10 * rng.normal(size=outputs),
    )


def recordings(model: StateSpace, lengths: tuple[int, ...], seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return outputs and inputs of runs from random states."""
    rng = np.random.default_rng(seed)
    inputs = [3 + rng.normal(size=(length, model.b.shape[1])) for length in lengths]
    return [model.simulate(u, rng.normal(size=model.order)) for u in inputs], inputs


def impulse_response(model: StateSpace, length: int = 40) -> np.ndarray:
    """Return D, C B, C A B, ..., shape (length, outputs, inputs)."""
    powers, state = [model.d], model.b
    for _ in range(length - 1):
        powers.append(model.c @ state)
        state = model.a @ state
    return np.stack(powers)


@pytest.mark.parametrize(
    ("order", "outputs", "inputs", "lengths"),
    [(4, 1, 1, (600,)), (5, 2, 1, (400, 300)), (6, 2, 3, (500, 300, 200)), (1, 1, 2, (200,))],
)
def test_exact_data_give_poles_and_impulse_response(order: int, outputs: int, inputs: int, lengths: tuple[int, ...]) -> None:
    truth = system(order, outputs, inputs, seed=order)
    y, u = recordings(truth, lengths, seed=1)
    found = identify_subspace(y, u, order)
    np.testing.assert_allclose(np.sort_complex(found.poles), np.sort_complex(truth.poles), atol=1e-7)
    np.testing.assert_allclose(impulse_response(found), impulse_response(truth), atol=1e-6)
    for outputs_, inputs_, start in zip(y, u, found.initial_states, strict=True):
        np.testing.assert_allclose(found.simulate(inputs_, start), outputs_, atol=1e-5)
    assert found.singular_values[order] < 1e-6 * found.singular_values[0]


def test_initial_state_of_a_new_recording_is_estimated() -> None:
    truth = system(6, 2, 1, seed=3)
    found = identify_subspace(*recordings(truth, (600,), seed=1), 6)
    (y,), (u,) = recordings(truth, (300,), seed=5)
    start = found.estimate_initial_state(y[:40], u[:40])
    np.testing.assert_allclose(found.simulate(u, start), y, atol=1e-5)


def test_noise_leaves_the_model_near_the_truth() -> None:
    truth = system(4, 1, 1, seed=4)
    (y,), (u,) = recordings(truth, (4000,), seed=1)
    noisy = y + 0.1 * y.std() * np.random.default_rng(2).normal(size=y.shape)
    found = identify_subspace([noisy], [u], 4)
    error = found.simulate(u, found.initial_states[0]) - y
    assert error.std() < 0.02 * y.std()
    assert (np.abs(found.poles) <= MAX_POLE).all()


def test_without_feedthrough_d_is_zero() -> None:
    truth = system(4, 2, 1, seed=6, feedthrough=False)
    found = identify_subspace(*recordings(truth, (500,), seed=1), 4, feedthrough=False)
    assert not found.d.any()
    np.testing.assert_allclose(impulse_response(found), impulse_response(truth), atol=1e-6)


def test_a_free_decay_needs_no_input() -> None:
    truth = system(4, 1, 1, seed=7)
    y = truth.simulate(np.tile(truth.input_offset, (200, 1)), np.ones(4))
    found = identify_subspace([y], [np.zeros((200, 0))], 4)
    np.testing.assert_allclose(np.sort_complex(found.poles), np.sort_complex(truth.poles), atol=1e-6)


def test_the_true_order_is_chosen() -> None:
    truth = system(6, 1, 1, seed=8)
    (y,), (u,) = recordings(truth, (1500,), seed=1)
    noisy = y + 0.01 * y.std() * np.random.default_rng(2).normal(size=y.shape)
    model, errors = choose_order([noisy], [u], max_order=12)
    assert model.order == 6
    assert errors[6] < 0.05 < errors[5]


def test_unstable_poles_are_moved_to_the_limit() -> None:
    a = stable(np.array([[1.2, 0.3], [0.0, 0.5]]))
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(a)), [0.5, MAX_POLE])
    growing = 1.02 ** np.arange(100.0)[:, None]
    model = identify_subspace([growing], [np.zeros((100, 0))], 1)
    assert np.abs(model.poles).max() <= MAX_POLE * (1 + 1e-12)


def test_errors_name_what_does_not_fit() -> None:
    y, u = np.zeros((50, 1)), np.zeros((50, 1))
    with pytest.raises(ConfigError, match="2 recordings"):
        identify_subspace([y, y], [u], 2)
    with pytest.raises(TraceError, match="shape"):
        identify_subspace([y], [u[:-1]], 2)
    with pytest.raises(TraceError, match="NaN"):
        identify_subspace([y + np.nan], [u], 2)
    with pytest.raises(TraceError, match="samples"):
        SubspaceIdentification([y[:10]], [u[:10]], 9)
