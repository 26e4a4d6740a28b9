"""`spinode.kernels`: information, choice of the mode, unsupported fields, and behaviour without the compiled code."""

import json
import subprocess
import sys
import warnings
from contextvars import ContextVar
from threading import Event, Thread

import pytest
import torch
from torch import nn

from spinode import kernels
from spinode.dynamics.field import ChainField, GreyBoxField, MLPField
from spinode.dynamics.integrate import torch_rollout
from spinode.dynamics.rollout import rollout
from spinode.errors import ConfigError, KernelWarning
from spinode.kernels import native

KEYS = ["native", "reason", "mode", "simd", "compiler", "standard", "simd_built", "simd_offered"]
SETS = ["portable", "avx2", "avx512"]

needs_kernels = pytest.mark.skipif(not native.built, reason=f"this installation has no compiled kernels: {native.reason}")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small_field(**settings):
    return MLPField(2, 1, 2, hidden=(4,), generator=seeded(), **settings)


def small_run(dtype=torch.float64):
    generator = seeded(1)
    return torch.randn(3, 2, generator=generator).to(dtype), torch.randn(3, 4, 3, 1, generator=generator).to(dtype)


# Information


def test_info_describes_the_build():
    info = kernels.info()
    assert list(info) == KEYS
    assert info["mode"] in kernels.MODES
    if not info["native"]:
        pytest.skip(f"this installation has no compiled kernels: {info['reason']}")
    assert info["reason"] == ""
    assert info["standard"] >= 201703
    assert info["compiler"]
    assert info["simd"] == info["simd_offered"][-1]


@needs_kernels
def test_portable_instruction_set_is_always_offered():
    info = kernels.info()
    assert info["simd_built"] == SETS[: len(info["simd_built"])]
    assert info["simd_offered"] == [name for name in info["simd_built"] if name in info["simd_offered"]]
    assert "portable" in info["simd_offered"]


@needs_kernels
@pytest.mark.parametrize("simd", SETS)
def test_environment_variable_chooses_the_instruction_set(simd, monkeypatch):
    monkeypatch.setenv("SPINODE_SIMD", simd)
    if simd in native.BUILD_INFO["simd_offered"]:
        assert kernels.info()["simd"] == simd
    else:
        with pytest.raises(ConfigError, match=f"SPINODE_SIMD is '{simd}'; expected one of portable"):
            kernels.info()


@needs_kernels
def test_unknown_instruction_set_is_refused(monkeypatch):
    monkeypatch.setenv("SPINODE_SIMD", "sse9")
    with pytest.raises(ConfigError, match="SPINODE_SIMD is 'sse9'"):
        rollout(small_field(), *small_run())


# Mode


@needs_kernels
def test_use_sets_the_mode_within_its_block_and_restores_it():
    before = kernels.mode()
    with kernels.use("torch"):
        assert kernels.info()["mode"] == "torch"
        with kernels.use("native"):
            assert kernels.mode() == "native"
        assert kernels.mode() == "torch"
    with pytest.raises(ZeroDivisionError), kernels.use("native"):
        _ = 1 / 0
    assert kernels.mode() == before


@needs_kernels
def test_only_the_mode_torch_disables_the_kernels(monkeypatch):
    calls = []
    inner = native.run_rollout
    monkeypatch.setattr(native, "run_rollout", lambda *args, **named: (calls.append(1), inner(*args, **named))[1])
    for mode, expected in (("torch", 0), ("auto", 1), ("native", 1)):
        calls.clear()
        with kernels.use(mode):
            rollout(small_field(), *small_run())
        assert len(calls) == expected


def test_threads_choose_their_modes_independently():
    before, inside, leave, seen = kernels.mode(), Event(), Event(), []

    def other() -> None:
        with kernels.use("torch"):
            inside.set()
            leave.wait(10)
            seen.append(kernels.mode())

    thread = Thread(target=other)
    thread.start()
    assert inside.wait(10)
    assert kernels.mode() == before
    with kernels.use("native" if kernels.info()["native"] else "auto"):
        leave.set()
        thread.join()
    assert seen == ["torch"]


def test_unknown_mode_is_refused(monkeypatch):
    with (
        pytest.raises(ConfigError, match="mode of the kernels is 'fast'; expected one of auto, native, torch"),
        kernels.use("fast"),
    ):
        pass
    monkeypatch.setattr(kernels, "_mode", ContextVar("mode", default="fast"))  # the effect of SPINODE_KERNELS=fast
    with pytest.raises(ConfigError, match="SPINODE_KERNELS is 'fast'; expected one of auto, native, torch"):
        rollout(small_field(), *small_run())


# Fields that the kernels do not support


class Subclass(MLPField):
    pass


def field_with_hook():
    field = small_field()
    field.layers[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    return field


def field_with_another_layer():
    field = small_field()
    field.out = nn.Sequential(nn.Linear(4, 2, dtype=torch.float64))
    return field


def field_without_bias():
    field = small_field()
    field.out = nn.Linear(4, 2, bias=False, dtype=torch.float64)
    return field


def field_with_plain_weights():
    field = small_field()
    weight = field.out.weight.detach()
    del field.out.weight
    field.out.weight = weight
    return field


def parametrised_field():
    field = small_field()
    nn.utils.parametrizations.weight_norm(field.out)
    return field


def chain_with_trained_ratios():
    field = ChainField(MLPField(2, 1, 1, hidden=(4,), generator=seeded()), torch.ones(1, dtype=torch.float64))
    field.ratios.requires_grad_()
    return field


UNSUPPORTED = {
    "a function": (lambda: lambda x, u: -x + u, "function is not an MLPField"),
    "a subclass": (lambda: Subclass(2, 1, 2, hidden=(4,)), "Subclass is not an MLPField"),
    "known physics": (lambda: GreyBoxField(lambda x, u: -x, small_field()), "GreyBoxField is not an MLPField"),
    "a chain over a chain": (
        lambda: ChainField(
            ChainField(MLPField(1, 2, 1, hidden=(3,)), torch.ones(0).double()), torch.ones(1, dtype=torch.float64)
        ),
        "ChainField is not an MLPField",
    ),
    "hooks": (field_with_hook, "Linear has hooks"),
    "another layer": (field_with_another_layer, "a layer is a Sequential"),
    "no bias": (field_without_bias, "a layer has no bias"),
    "plain tensors for weights": (field_with_plain_weights, "or no parameters"),
    "a parametrised layer": (parametrised_field, "a layer is a Parametrized"),
    "trained ratios": (chain_with_trained_ratios, "ratios of its chain are trained"),
    "too wide": (lambda: MLPField(2, 1, 2, hidden=(1025,), generator=seeded()), r"\(1025,\) is wider than 1024"),
    "too deep": (lambda: MLPField(2, 1, 2, hidden=(2,) * 17, generator=seeded()), "deeper than 16"),
}


@needs_kernels
@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_field_runs_in_torch(name):
    make, reason = UNSUPPORTED[name]
    field, (state, stages) = make(), small_run()
    expected = torch_rollout(field, state, stages)
    with kernels.use("auto"):
        assert torch.equal(rollout(field, state, stages), expected)
    with kernels.use("native"), pytest.raises(ConfigError, match=f"kernels do not take this run: .*{reason}"):
        rollout(field, state, stages)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs_in_torch(dtype):
    field, run = small_field().to(dtype), small_run(dtype)
    assert rollout(field, *run).dtype == dtype
    with kernels.use("native"), pytest.raises(ConfigError, match=f"its type is {dtype}"):
        rollout(field, *run)


def test_meta_tensors_have_the_right_shape():
    state, stages = small_run()
    run = rollout(small_field().to("meta"), state.to("meta"), stages.to("meta"))
    assert run.is_meta
    assert run.shape == (3, 5, 2)


@needs_kernels
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch itself, on the first `jvp`
def test_forward_mode_runs_in_torch():
    field, (state, stages) = small_field(), small_run()
    values, slopes = torch.func.jvp(lambda x: rollout(field, x, stages), (state,), (torch.ones_like(state),))
    jacobian = torch.func.jacrev(lambda x: rollout(field, x, stages))(state)
    assert torch.allclose(values, rollout(field, state, stages), rtol=1e-12)
    assert torch.allclose(slopes, jacobian.sum((-2, -1)), rtol=1e-10)
    with kernels.use("native"), pytest.raises(ConfigError, match="forward mode"):
        torch.func.jvp(lambda x: rollout(field, x, stages), (state,), (state,))


# Without the compiled code

SCRIPT = """
import json, sys, warnings
sys.modules["spinode.kernels._native"] = None
import torch
from spinode import (kernels, rollout, MLPField)
from spinode.dynamics.integrate import (torch_rollout)
field = MLPField(2, 1, 2, hidden=(4,), generator=torch.Generator().manual_seed(0))
state, stages = torch.ones(3, 2, dtype=torch.float64), torch.ones(3, 4, 3, 1, dtype=torch.float64)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    first = rollout(field, state, stages)
    second = rollout(field, state, stages)
equal = torch.equal(first, torch_rollout(field, state, stages)) and torch.equal(first, second)
print(json.dumps([kernels.info(), equal, [[w.category.__name__, str(w.message), w.filename] for w in caught]]))
"""


@pytest.mark.parametrize("mode", ["auto", "torch"])
def test_missing_extension_gives_the_same_results_and_one_warning(mode, tmp_path, monkeypatch):
    monkeypatch.setenv("SPINODE_KERNELS", mode)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
    info, equal, caught = json.loads(run.stdout)
    assert equal
    assert list(info) == KEYS
    assert info["native"] is False
    assert "spinode.kernels._native" in info["reason"]
    assert (info["mode"], info["simd"], info["compiler"], info["simd_offered"]) == (mode, "", "", [])
    assert run.stderr == ""
    if mode == "torch":
        assert caught == []
        return
    ((category, message, file),) = caught
    assert category == "KernelWarning"
    assert "without its compiled kernels" in message
    assert info["reason"] in message
    assert "SPINODE_KERNELS=torch" in message
    assert file == str(script)  # the warning is located at the caller


def test_mode_native_is_refused_if_nothing_was_built(monkeypatch):
    monkeypatch.setattr(native, "built", False)
    monkeypatch.setattr(native, "reason", "no such file")
    with pytest.raises(ConfigError, match=r"no compiled kernels here \(no such file\)"), kernels.use("native"):
        pass
    monkeypatch.setattr(kernels, "_mode", ContextVar("mode", default="native"))
    with pytest.raises(ConfigError, match="no compiled kernels here"):
        rollout(small_field(), *small_run())


def test_missing_kernels_warn_once(monkeypatch):
    monkeypatch.setattr(native, "built", False)
    monkeypatch.setattr(kernels, "_warned", False)
    with kernels.use("auto"):
        with pytest.warns(KernelWarning, match="many times slower"):
            rollout(small_field(), *small_run())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rollout(small_field(), *small_run())
