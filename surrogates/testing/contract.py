"""Conformance tests for surrogates, your own included.

A new surrogate inherits all tests and defines one method; pytest finds them through the subclass:

    class TestMyDevice(SurrogateContract):
        def make(self):
            return build_my_device()

Nothing here needs pytest: each `test_` method uses plain assertions.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import ConfigError, DomainError, DomainWarning, TraceError
from ...testing.assertions import assert_refuses, recorded_warnings
from ...traces.trace import Trace
from ..neural_ode.free_run import estimate_initial_state
from ..neural_ode.member import Member, median_of_members
from ..neural_ode.surrogate import Surrogate

#: Number of later samples that the middle of a step depends on where a drive is a spline through six samples.
SPLINE_LOOKAHEAD = 2


class SurrogateContract:
    """Tests that every surrogate must pass. Subclass it, name the class `Test...`, and define `make`.

    Attributes:
        steps: Length of the runs, in samples.
        amplitude: Size of the drives and states in the tests, in standard deviations.
        rests: True if it has a stable resting state under its mean drive; a self-sustained oscillator has none.
        solver_tolerance: Largest difference of fixed-step and adaptive runs, in standard deviations of the output.
    """

    steps: int = 24
    amplitude: float = 0.3
    rests: bool = True
    solver_tolerance: float = 1e-2

    def make(self) -> Surrogate:
        """Return a surrogate, the same at each call."""
        raise NotImplementedError

    def load(self, path: Path) -> Surrogate:
        """Load the surrogate from a file; one with a user-defined vector field passes `field=` here."""
        return Surrogate.load(path)

    # --- the numerics -------------------------------------------------------------------------------------------------

    def test_simulate_returns_finite_outputs_for_any_batch_shape(self) -> None:
        """Outputs have shape (..., time, outputs) and type float64."""
        surrogate = self.make()
        for batch in ((), (1,), (2, 3)):
            outputs = self._simulate(surrogate, batch)
            assert outputs.shape == (*batch, self.steps, len(surrogate.ports.output))
            assert outputs.dtype == torch.float64
            assert bool(torch.isfinite(outputs).all())

    def test_a_batch_equals_a_loop(self) -> None:
        """Each element of a batch gives the same result as a run of its own."""
        surrogate = self.make()
        drive, state, constants = self._inputs(surrogate, (3,))
        together = _run(surrogate, drive, state, constants)
        for i in range(3):
            _assert_close(together[i], _run(surrogate, drive[i], state[i], constants[i]), surrogate, 1e-11)

    def test_drive_state_and_parameters_broadcast(self) -> None:
        """One drive, one state or one set of parameters can be shared by a batch."""
        surrogate = self.make()
        drive, state, constants = self._inputs(surrogate, (3,))
        for which in range(3):
            mixed = [part if i == which else part[0] for i, part in enumerate((drive, state, constants))]
            full = [part if i == which else part[:1].expand_as(part) for i, part in enumerate((drive, state, constants))]
            if which == 2 and not surrogate.ports.parameters:
                continue  # a parameter tensor without columns has no batch dimension
            _assert_close(_run(surrogate, *mixed), _run(surrogate, *full), surrogate, 1e-11)

    def test_gradients_match_finite_differences(self) -> None:
        """Runs are differentiable in drive, initial state and parameters (float64 gradcheck, in standard units)."""
        surrogate = self.make()
        scales, count = surrogate.scales, len(surrogate.ports.drive)
        drive, state, constants = self._inputs(surrogate, (), steps=8)
        inputs = (scales.drive(torch.cat([drive, constants.expand(8, -1)], -1)), state)

        def run(z: Tensor, x: Tensor) -> Tensor:
            si = z * scales.drive_scale + scales.drive_mean
            # Parameters are constants: the first row is used for all samples.
            return scales.output(_run(surrogate, si[:, :count], x, si[0, count:]))

        leaves = tuple(part.detach().requires_grad_(part.numel() > 0) for part in inputs)
        assert torch.autograd.gradcheck(run, leaves, eps=1e-5, atol=1e-6, rtol=1e-4)

    def test_gradients_reach_the_weights(self) -> None:
        """The derivative along a random direction of all weights matches a central difference."""
        surrogate = self.make()
        drive, state, constants = self._inputs(surrogate, (), steps=8)
        names = [name for name, value in surrogate.named_parameters() if value.requires_grad]
        weights = dict(surrogate.named_parameters())
        generator = torch.Generator().manual_seed(1)
        direction = [torch.randn(weights[n].shape, generator=generator, dtype=torch.float64) for n in names]

        def loss() -> Tensor:
            return surrogate.scales.output(_run(surrogate, drive, state, constants)).square().mean()

        gradients = torch.autograd.grad(loss(), [weights[n] for n in names], allow_unused=True)
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True) if g is not None)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                for name, step in zip(names, direction, strict=True):
                    weights[name].add_(step, alpha=sign * 1e-6)
                values.append(float(loss()))
                for name, step in zip(names, direction, strict=True):
                    weights[name].add_(step, alpha=-sign * 1e-6)
        assert slope != 0
        assert math.isclose(slope, (values[0] - values[1]) / 2e-6, rel_tol=1e-4, abs_tol=1e-7)

    def test_causality(self) -> None:
        """A change of the drive after sample t does not affect outputs up to t, minus the lookahead of the embedding."""
        surrogate = self.make()
        ahead = surrogate.embedding.lookahead
        for kind, lookahead in (("held", ahead), ("linear", ahead), ("spline", ahead + SPLINE_LOOKAHEAD)):
            drive, state, constants = self._inputs(surrogate, ())
            changed = drive.clone()
            at = self.steps // 2
            changed[at + 1 :] += self.amplitude * surrogate.scales.drive_scale[: drive.shape[-1]]
            kinds = dict.fromkeys(surrogate.ports.drive, kind)
            runs = [_run(surrogate, each, state, constants, interpolation=kinds) for each in (drive, changed)]
            assert torch.equal(runs[0][: at - lookahead + 1], runs[1][: at - lookahead + 1])
            if surrogate.ports.drive:
                assert not torch.equal(runs[0][at + 1 :], runs[1][at + 1 :])

    def test_interpolations_agree_on_constant_and_linear_drives(self) -> None:
        """All agree on a constant drive; linear and spline agree on a ramp, where held differs."""
        surrogate = self.make()
        if not surrogate.ports.drive:
            return
        drive, state, constants = self._inputs(surrogate, ())
        scale = surrogate.scales.drive_scale[: drive.shape[-1]]
        flat = drive[:1].expand_as(drive)
        ramp = flat + self.amplitude * scale * torch.linspace(0, 1, self.steps, dtype=torch.float64)[:, None]

        def runs(samples: Tensor) -> list[Tensor]:
            return [
                _run(surrogate, samples, state, constants, interpolation=dict.fromkeys(surrogate.ports.drive, kind))
                for kind in ("held", "linear", "spline")
            ]

        held, linear, spline = runs(flat)
        _assert_close(held, linear, surrogate, 1e-11)
        _assert_close(spline, linear, surrogate, 1e-11)
        held, linear, spline = runs(ramp)
        _assert_close(spline, linear, surrogate, 1e-10)
        assert float(((held - linear) / surrogate.scales.output_scale).detach().abs().max()) > 1e-9

    def test_single_steps_equal_a_run(self) -> None:
        """Repeated `step` and `read` give the same as `simulate` under a held drive."""
        surrogate = self.make()
        drive, state, constants = self._inputs(surrogate, ())
        if surrogate.embedding.lookahead:
            drive = drive[:1].expand_as(drive)  # `step` receives one input; the embedding also uses the following ones
        if len(surrogate.members) > 1:
            return  # `simulate` is the median of the members then
        kinds = dict.fromkeys(surrogate.ports.drive, "held")
        whole = _run(surrogate, drive, state, constants, interpolation=kinds)
        x, rows = state, [surrogate.read(state, torch.cat([drive[0], constants]))]
        for sample in drive[:-1]:
            u = torch.cat([sample, constants])
            x = surrogate.step(x, u)
            rows.append(surrogate.read(x, u))
        _assert_close(torch.stack(rows), whole, surrogate, 1e-11)

    def test_blocks_continue_one_run(self) -> None:
        """Run in blocks of any size, each output is that of `simulate` under a held drive that ends with its sample."""
        surrogate = self.make()
        drive, _, _ = self._inputs(surrogate, ())
        if surrogate.ports.parameters or not self.rests:
            error = ConfigError if surrogate.ports.parameters else DomainError
            assert_refuses(error, lambda: surrogate.initial_state(drive[0]))
            return
        kinds = dict.fromkeys(surrogate.ports.drive, "held")
        ends = []
        for end in range(1, len(drive) + 1):
            extended = torch.cat([drive[:1].expand(surrogate.embedding.lookahead, -1), drive[:end], drive[end - 1 : end]])
            ends.append(_run(surrogate, extended, None, None, interpolation=kinds)[-1])
        for size in (1, 5, len(drive)):
            memory, outputs = surrogate.initial_state(drive[0]), []
            for block in drive.split(size):
                response = surrogate.step_block(memory, block)
                memory = response.memory
                outputs.append(response.output)
            _assert_close(torch.cat(outputs), torch.stack(ends), surrogate, 1e-11)

    def test_adaptive_solver_agrees_with_fixed_steps(self) -> None:
        """An adaptive solver gives the same run up to the error of one Runge-Kutta step per sample."""
        surrogate = self.make()
        drive, state, constants = self._inputs(surrogate, (), steps=12)
        fixed, adaptive = (_run(surrogate, drive, state, constants, solver=solver) for solver in ("rk4", "dopri5"))
        _assert_close(fixed, adaptive, surrogate, self.solver_tolerance)

    def test_resting_state_is_a_fixed_point(self) -> None:
        """Under a constant drive the resting state does not change, and `simulate` starts from it if no state is given."""
        surrogate = self.make()
        drive, _, constants = self._inputs(surrogate, ())
        named = dict(zip(surrogate.ports.parameters, constants.tolist(), strict=True))
        constant = drive[:1].expand_as(drive)
        if not self.rests:
            assert_refuses(DomainError, lambda: surrogate.resting_state(drive[0], parameters=named))
            return
        rest = surrogate.resting_state(drive[0], parameters=named)
        after = surrogate.step(rest, torch.cat([drive[0], constants]))
        assert float((after - rest).detach().abs().max()) < 1e-7
        run = _run(surrogate, constant, None, constants)
        _assert_close(run, run[:1].expand_as(run), surrogate, 1e-6)

    # --- units --------------------------------------------------------------------------------------------------------

    def test_units_only_scale_inputs_and_outputs(self) -> None:
        """A drive in another unit gives the same outputs, and outputs in another unit are scaled; exact for powers of two."""
        surrogate = self.make()
        drive, state, constants = self._inputs(surrogate, ())
        other = deepcopy(surrogate)
        scales = other.scales
        for buffer, factor in (
            (scales.output_mean, 2.0**20),
            (scales.output_scale, 2.0**20),
            (scales.state_scale, 2.0**20),
            (scales.drive_mean, 2.0**-10),
            (scales.drive_scale, 2.0**-10),
        ):
            buffer.mul_(factor)
        plain = _run(surrogate, drive, state, constants)
        scaled = _run(other, drive * 2.0**-10, state, constants * 2.0**-10)
        assert torch.equal(scaled, plain * 2.0**20)

    def test_state_from_inverts_read(self) -> None:
        """The outputs of embedded samples are the samples."""
        surrogate = self.make()
        if surrogate.embedding.recursive:
            return  # an observer weighs outputs against the model; it reproduces neither exactly
        samples = 40
        drive, _, constants = self._inputs(surrogate, (), steps=samples)
        phase = torch.linspace(0, 3, samples, dtype=torch.float64)[:, None]
        shift = torch.arange(len(surrogate.ports.output), dtype=torch.float64)
        output = surrogate.scales.output_si(self.amplitude * torch.sin(phase + shift))
        for member in range(len(surrogate.members)):
            states = surrogate.state_from(output, drive, parameters=constants, member=member)
            assert len(states) == samples - surrogate.embedding.lookahead
            inputs = torch.cat([drive, constants.expand(samples, -1)], -1)[: len(states)]
            _assert_close(surrogate.read(states, inputs, member=member), output[: len(states)], surrogate, 1e-9)

    def test_run_along_a_trace_is_a_simulation_from_its_first_samples(self) -> None:
        """`run` starts each member from the first samples of the trace, takes the median, and keeps the time axis."""
        surrogate = self.make()
        trace = self._trace(surrogate)
        drive = torch.as_tensor(np.stack([*trace.drive.values()], -1)) if trace.drive else torch.zeros(len(trace), 0)
        run = surrogate.run(trace)
        members = []
        for index, member in enumerate(surrogate.members):
            alone = deepcopy(surrogate)
            alone.members = cast(list[Member], nn.ModuleList([deepcopy(member)]))
            state = estimate_initial_state(surrogate, trace, member=index)
            members.append(_run(alone, drive, state, trace.parameters))
        _assert_close(run.output, median_of_members(torch.stack(members)), surrogate, 1e-10)
        assert np.array_equal(run.time.numpy(), trace.time)
        assert run.outside.shape == (len(trace),)
        assert bool((run.spread >= surrogate.spread_floor).all())

    # --- domain, noise and invalid input ------------------------------------------------------------------------------

    def test_leaving_the_domain_warns_once(self) -> None:
        """Outside its domain a run warns once, and raises an error if strict."""
        surrogate = self.make()
        drive, state, constants = self._inputs(surrogate, ())
        reach = float(surrogate.domain.points.abs().max() + 2 * surrogate.domain.radius) + 1
        far = torch.full_like(state, reach)

        def run(**options: Any) -> Tensor:
            return surrogate.simulate(drive, state=_for_members(surrogate, far), parameters=constants, **options)

        assert_refuses(DomainError, lambda: run(strict=True))
        with recorded_warnings() as caught:
            first = run()
            again = run()
        assert [warning.category for warning in caught] == [DomainWarning]
        assert torch.equal(first, again)
        assert bool(torch.isfinite(first).all())

    def test_noise_follows_the_seed(self) -> None:
        """The same seed gives the same noise, a different seed different noise; without noise the run is the mean response."""
        surrogate = self.make()

        def run(seed: int | None) -> Tensor:
            drive, state, constants = self._inputs(surrogate, ())
            source = None if seed is None else torch.Generator().manual_seed(seed)
            return _run(surrogate, drive, state, constants, noise=seed is not None, generator=source)

        assert torch.equal(run(None), run(None))
        assert torch.equal(run(3), run(3))
        noisy = bool((surrogate.noise > 0).any())
        assert torch.equal(run(3), run(4)) != noisy
        assert torch.equal(run(3), run(None)) != noisy

    def test_invalid_input_is_refused(self) -> None:
        """Wrong shapes, NaN, missing parameters and unknown settings raise the errors of the package."""
        surrogate = self.make()
        drive, state, constants = self._inputs(surrogate, ())
        wider = torch.cat([drive, drive[:, :1] if drive.shape[1] else torch.zeros(len(drive), 1)], -1)
        run, given = surrogate.simulate, _for_members(surrogate, state)
        assert_refuses(TraceError, lambda: run(wider, state=given, parameters=constants))
        assert_refuses(TraceError, lambda: run(drive[:0], state=given, parameters=constants))
        assert_refuses(TraceError, lambda: run(drive, state=given[..., :-1], parameters=constants))
        assert_refuses(TraceError, lambda: run(drive, state=given * float("nan"), parameters=constants))
        assert_refuses(ConfigError, lambda: run(drive, state=given, parameters=constants, solver="nonsense"))
        assert_refuses(ConfigError, lambda: run(drive, state=given, parameters=constants, interpolation={"?": "held"}))
        if surrogate.ports.drive:
            assert_refuses(TraceError, lambda: run(drive * float("nan"), state=given, parameters=constants))
        if surrogate.ports.parameters:
            assert_refuses(ConfigError, lambda: run(drive, state=given))
            assert_refuses(ConfigError, lambda: run(drive, state=given, parameters=constants * float("nan")))

    # --- files --------------------------------------------------------------------------------------------------------

    def test_saving_and_loading_changes_nothing(self) -> None:
        """After saving and loading, every number, name and unit is identical, bit for bit."""
        surrogate = self.make()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "surrogate.safetensors")
            surrogate.save(path)
            loaded = self.load(path)
            assert [entry.name for entry in Path(folder).iterdir()] == [path.name]
            first = path.read_bytes()
            loaded.save(path)
            assert path.read_bytes() == first
        assert _same_numbers(surrogate, loaded)
        assert loaded.ports == surrogate.ports
        assert loaded.embedding == surrogate.embedding
        assert loaded.interval == surrogate.interval
        drive, state, constants = self._inputs(surrogate, ())
        runs = [_run(each, drive, state, constants) for each in (surrogate, loaded)]
        assert torch.equal(*runs)

    def test_state_dict_keeps_every_number(self) -> None:
        """Loading a state dict into a surrogate of the same layout makes the two identical."""
        surrogate, other = self.make(), self.make()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
        other.domain.radius.mul_(2)
        assert not _same_numbers(surrogate, other)
        other.load_state_dict(surrogate.state_dict())
        assert _same_numbers(surrogate, other)

    # --- inputs of the tests ------------------------------------------------------------------------------------------

    def _inputs(self, surrogate: Surrogate, batch: tuple[int, ...], steps: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Return a smooth drive, an initial state and parameters (drive and parameters in SI), all within the fitted domain."""
        steps = steps or self.steps
        generator = torch.Generator().manual_seed(0)
        names = surrogate.ports
        width = surrogate.state_size
        mean, scale = surrogate.scales.drive_mean, surrogate.scales.drive_scale
        phase = 6.3 * torch.rand(*batch, 1, len(names.inputs), generator=generator, dtype=torch.float64)
        waves = torch.sin(0.4 * torch.arange(steps, dtype=torch.float64)[:, None] + phase)
        inputs = mean + self.amplitude * scale * waves
        state = self.amplitude * torch.randn(*batch, width, generator=generator, dtype=torch.float64)
        count = len(names.drive)
        return inputs[..., :count], state, inputs[..., 0, count:]

    def _simulate(self, surrogate: Surrogate, batch: tuple[int, ...]) -> Tensor:
        drive, state, constants = self._inputs(surrogate, batch)
        return _run(surrogate, drive, state, constants)

    def _trace(self, surrogate: Surrogate) -> Trace:
        """Return a run of the surrogate as a recording that does not begin at time zero."""
        drive, state, constants = self._inputs(surrogate, (), steps=60)
        output = _run(surrogate, drive, state, constants).detach()
        names = surrogate.ports
        return Trace(
            surrogate.interval * np.arange(100.0, 160.0, dtype=np.float64),
            {name: drive[:, i].numpy() for i, name in enumerate(names.drive)},
            {name: output[:, i].numpy() for i, name in enumerate(names.output)},
            dict(zip(names.parameters, constants.tolist(), strict=True)),
            names.units,
            names.interpolation,
        )


def _run(
    surrogate: Surrogate, drive: Tensor, state: Tensor | None, parameters: Tensor | Mapping[str, float] | None, **options: Any
) -> Tensor:
    """Run `simulate` without warnings about the domain."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        given = None if state is None else _for_members(surrogate, state)
        return surrogate.simulate(drive, state=given, parameters=parameters, **options)


def _for_members(surrogate: Surrogate, state: Tensor) -> Tensor:
    """Return the state as `simulate` takes it: once for each member where their coordinates are their own."""
    several = len(surrogate.members) > 1 and surrogate.embedding.method.own_coordinates
    return torch.stack([state] * len(surrogate.members)) if several else state


def _assert_close(actual: Tensor, expected: Tensor, surrogate: Surrogate, tolerance: float) -> None:
    """Assert that outputs agree within a tolerance in standard deviations of the outputs."""
    worst = float(((actual - expected).detach() / surrogate.scales.output_scale).abs().max())
    assert worst <= tolerance, f"outputs differ by {worst:.3g} standard deviations, more than {tolerance:.3g}"


def _same_numbers(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
