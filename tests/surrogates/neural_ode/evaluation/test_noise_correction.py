"""The error without the noise: its interval contains it, and a recording that is noise has no such score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spinode.reporting.remarks import BAD
from spinode.surrogates.neural_ode.evaluation.assessment import assess
from spinode.surrogates.neural_ode.evaluation.evaluate import evaluate
from spinode.surrogates.neural_ode.evaluation.measurement_noise import ComparedRun
from spinode.surrogates.neural_ode.evaluation.noise_correction import model_error
from spinode.surrogates.neural_ode.evaluation.structure_remarks import fit_remarks


def waves(count, outputs, seed):
    generator = np.random.default_rng(seed)
    phases = generator.uniform(0, 6, outputs)
    return np.sin(np.arange(count)[:, None] ** 1.2 / 40 + phases), generator


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.1, 0.5])
@pytest.mark.parametrize("gain", [1.0, 0.98, 0.6])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_interval_contains_the_estimate(noise, gain, outputs):
    """Where something is uncertain, both ends are beside the error: that with the noise is an estimate, too."""
    for seed in range(3):
        clean, generator = waves(600, outputs, seed)
        error = model_error(
            tuple("abc"[:outputs]),
            ComparedRun(clean + noise * generator.standard_normal(clean.shape), gain * clean, clean[:, :0]),
        )
        assert error.low <= error.nrmse <= error.high
        if error.nrmse > 0 and not error.noise_alone:
            assert error.low < error.nrmse < error.high


@pytest.mark.parametrize("noise", [0.03, 0.1, 0.3])
def test_the_interval_contains_the_error_without_noise(noise):
    """Of thirty recordings most, and the estimates lie around it."""
    inside, ratios = 0, []
    for seed in range(30):
        clean, generator = waves(1500, 1, seed)
        recorded = clean + noise * generator.standard_normal(clean.shape)
        error = model_error(("a",), ComparedRun(recorded, 0.7 * clean, clean[:, :0]))
        true = float(np.sqrt(np.mean((0.3 * clean) ** 2) / clean.var()))
        inside += error.low <= true <= error.high
        ratios.append(error.nrmse / true)
    assert inside >= 20
    assert 0.9 < np.mean(ratios) < 1.1


@pytest.mark.parametrize("count", [150, 500, 2000])
def test_white_noise_has_no_excellent_error(count):
    """The error is that of the mean value. In few samples a part of the noise may pass for a signal, which is not explained."""
    for seed in range(8):
        generator = np.random.default_rng(seed)
        truth = generator.standard_normal((count, 1))
        drive = np.repeat(generator.uniform(-1, 1, (count // 10 + 1, 1)), 10, 0)[:count]
        error = model_error(("y",), ComparedRun(truth, np.full_like(truth, truth.mean()) + 0.02 * drive, drive))
        assert error.nrmse == pytest.approx(1.0, abs=0.1)
        assert error.noise_alone or count < 500


def test_text_about_white_noise(device, recorder):
    trace = recorder.record(device, 800, 3)
    noise = np.random.default_rng(0).standard_normal(800)
    evaluation = evaluate(device, replace(trace, output={"y": noise}, drive={"V": 0.01 * trace.drive["V"]}))
    assert evaluation.noise_alone
    assert evaluation.baseline_model_error == evaluation.baseline_nrmse
    assessment = assess(device, evaluation)
    assert assessment.grade == BAD
    assert "Nothing beyond the noise was found" in " ".join(assessment.sentences)
    assert "without the noise" not in " ".join(assessment.sentences)


@pytest.mark.parametrize("noise", [0.99, 1.02])
def test_a_fit_of_white_noise_is_not_excused_by_the_noise(surrogate_with_record, noise):
    """The error of a fit that predicts nothing is that of the mean value, and all of it could be noise."""
    surrogate = surrogate_with_record(validation=[1.0], kept=[0], disagreement=[0.0])
    surrogate.noise.copy_(noise * surrogate.scales.output_scale)
    assert any("cannot be distinguished from noise" in remark.text for remark in fit_remarks(surrogate))
    surrogate.record["validation"] = [0.3]  # what looks like noise to a polynomial may follow the drive
    assert not any(remark.grade == BAD for remark in fit_remarks(surrogate))
