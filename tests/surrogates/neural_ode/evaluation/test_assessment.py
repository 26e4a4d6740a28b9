"""The assessment: sentences and grades follow from the scores and never sound better than they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import spinode
from spinode.reporting.remarks import BAD, CARE, GOOD, NOTE, Remark
from spinode.surrogates.neural_ode.evaluation.assessment import MAX_REASONS, _reasons, assess, assess_fit
from spinode.surrogates.neural_ode.evaluation.noise_correction import ModelError
from spinode.surrogates.neural_ode.evaluation.remedies import MORE_DATA, Names
from spinode.surrogates.neural_ode.evaluation.structure_remarks import assess_structure
from spinode.traces.trace import Trace


@pytest.fixture
def sentences(surrogate_with_record, evaluation_with_scores):
    """Function that returns the headline and all other sentences, joined."""

    def assessed(surrogate=None, evaluation=None):
        headline, *remarks = assess(surrogate or surrogate_with_record(), evaluation or evaluation_with_scores()).sentences
        return headline, "\n".join(remarks)

    return assessed


def test_good_model_is_trusted_within_its_domain(sentences):
    headline, remarks = sentences()
    assert headline.startswith("Trust it within its domain: the free run follows the recording very closely (NRMSE 0.012)")
    assert "Over the whole run (4.995 ns) the rms error since the start stays below 5 %" in remarks
    assert "linear ARX model fitted to the same data reaches NRMSE 0.5, 42 times as much" in remarks
    assert headline.endswith("and no score gives reason for doubt.")
    assert "The fit used 50 ns of one recording: 10000 samples every 5 ps." in remarks


def test_single_restart_is_trusted_only_for_drives_like_the_fitted_one(surrogate_with_record, sentences):
    surrogate = surrogate_with_record(validation=[0.012], disagreement=[0.0], kept=[0], members=1)
    headline, remarks = sentences(surrogate)
    assert headline.startswith("Trust it for drives like the fitted one:")
    assert "The accuracy under another drive is unknown, since the fit had only one restart" in remarks
    assert "The predicted spread is the same at every step" in remarks


# --- structure ------------------------------------------------------------------------------------------------------------


def tried(embedding, order, error, hidden=(16, 16), rung=2, diverged=False):
    """An entry of the record of a structure search."""
    structure = {"embedding": embedding, "order": order, "hidden": list(hidden), "ridge": 3e-7}
    name = f"{embedding} order {order}, hidden {hidden}" if hidden else f"linear, {embedding} order {order}"
    return {"structure": structure, "name": name, "rung": rung, "error": error, "diverged": diverged, "seconds": 1.0}


SEARCH = [
    tried("derivative", 2, 0.3, hidden=(), rung=0),
    tried("derivative", 2, 0.08, rung=1),
    tried("derivative", 2, 0.012),
    tried("delay", 3, 0.03),
    tried("delay", 5, 0.001, diverged=True),
    tried("delay", 6, None),
]


def searched(surrogate_with_record, hidden=(16, 16), **record):
    structure = {"embedding": "derivative", "order": 2, "hidden": list(hidden), "ridge": 3e-7}
    found = {"search": SEARCH, "structure": structure, "linear_validation": 0.3, "effort": "default"}
    return surrogate_with_record(**(found | record))


def test_structure_is_reported_with_the_runner_up_and_the_linear_model(surrogate_with_record, sentences):
    surrogate = searched(surrogate_with_record)
    text = assess_structure(surrogate).text
    assert text == (
        "The search chose derivative order 2 of 5 structures, with a validation NRMSE of 0.012; the best other one, delay "
        "order 3, reached 0.03; the best linear model reached 0.3."
    )
    headline, remarks = sentences(surrogate)
    assert headline.startswith("Trust it")
    assert text in remarks


def test_structure_that_is_not_the_best_is_a_note(surrogate_with_record):
    surrogate = searched(surrogate_with_record, search=[*SEARCH, tried("delay", 4, 0.002)])
    assert assess_structure(surrogate).grade == NOTE
    assert assess_structure(searched(surrogate_with_record)).grade == GOOD


def test_record_without_a_search_is_no_reason_for_doubt(surrogate_with_record, sentences):
    assert sentences(surrogate_with_record(order_scan=[{"order": 3, "error": 1e-9}]))[0].startswith("Trust it")
    assert "was not searched for" in assess_structure(surrogate_with_record()).text


def test_saved_linear_model_is_not_a_failure(surrogate_with_record, evaluation_with_scores, sentences):
    surrogate = searched(surrogate_with_record, hidden=())
    headline, remarks = sentences(surrogate, evaluation_with_scores(0.012, baseline_nrmse=0.011))
    assert headline.startswith("Trust it")
    assert "the linear model follows" in headline
    assert "The saved model is linear: on the validation data no network was better" in remarks


def test_saved_linear_model_that_a_linear_model_beats_calls_for_care(surrogate_with_record, evaluation_with_scores, sentences):
    headline, _ = sentences(searched(surrogate_with_record, hidden=()), evaluation_with_scores(0.15, baseline_nrmse=0.05))
    assert headline.startswith("Use it with care")
    assert "a linear ARX model is better (NRMSE 0.05)" in headline


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"drive_effect": 1.01}, "the model makes no use of the drive"),
        ({"short_run_share": 0.6, "validation": [0.4], "kept": [0]}, "its state does not determine the next samples"),
        ({"validation": [0.9], "kept": [0]}, "it hardly predicts its own validation data"),
    ],
)
def test_fit_that_says_nothing_is_reported_without_a_recording(surrogate_with_record, sentences, record, reason):
    surrogate = searched(surrogate_with_record, **record)
    assert reason in [remark.reason for remark in assess_fit(surrogate)]
    assert reason in sentences(surrogate)[0]


def test_state_that_does_not_determine_the_next_samples_is_reported(surrogate_with_record, evaluation_with_scores, sentences):
    # Over 4 samples of 5 ps a sine of 4 GHz changes by 0.35 of its standard deviation, rms.
    evaluation, reason = evaluation_with_scores(0.2), "its state does not determine the next samples"
    assert reason in sentences(surrogate_with_record(residual_level=[0.2]), evaluation)[0]
    assert reason not in sentences(surrogate_with_record(residual_level=[0.01]), evaluation)[0]


def test_fit_alone_reports_structure_and_an_alarming_difference_of_restarts(surrogate_with_record):
    remarks = assess_fit(searched(surrogate_with_record, hidden=(), disagreement=[0.4, 0.1, 0.1]))
    text = " ".join(remark.sentence for remark in remarks)
    assert "The search chose linear, derivative order 2" in text
    assert "The saved model is linear" in text
    assert "differ by 0.4 standard deviations" in text
    assert "--members 3" in text


def test_a_structure_worse_than_another_one_says_why_its_restart_was_kept(surrogate_with_record):
    why = "of 3 equally valid restarts it disagrees least with the others (0.0100 deviations)"
    record = {"validation": [0.02, 0.04, 0.025], "kept": [1], "choice": why}
    text = assess_structure(searched(surrogate_with_record, **record)).text
    assert text.endswith(f"Its restart with 0.02 was not kept, for this reason: {why}.")
    assert "the best other one, delay order 3, reached 0.03" in text


@pytest.mark.parametrize(
    ("structure", "validation", "expected"),
    [([], [0.1], "fits of a linear model all have the same minimum"), ([16], [0.1], "the fit had only one restart")],
)
def test_a_linear_model_has_no_restarts(surrogate_with_record, structure, validation, expected):
    surrogate = searched(surrogate_with_record, hidden=structure, validation=validation, kept=[0], disagreement=[0.0])
    text = " ".join(remark.sentence for remark in assess_fit(surrogate))
    assert expected in text
    assert ("restart" in text.replace("there are no restarts to compare", "")) == bool(structure)


# --- remedies -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scores",
    [
        {"nrmse": 0.2},
        {"nrmse": 0.5, "diverged_at": 6.3e-8},
        {"nrmse": 0.2, "baseline_nrmse": 0.1},
        {"outside": 0.4},
        {"coverage": 0.5},
        {"nrmse": 3.0, "regime_change_at": 6.2e-8, "nrmse_before_change": 0.01},
        {"nrmse": 3.0, "regime_change_at": 6e-8},
    ],
)
def test_every_doubt_names_a_command(surrogate_with_record, evaluation_with_scores, scores):
    doubts = {"disagreement": [0.5, 0.1, 0.1], "residual_level": [0.3]}
    evaluation = evaluation_with_scores(**scores)
    for surrogate in (surrogate_with_record(**doubts), searched(surrogate_with_record, **doubts)):
        remarks = [remark for remark in assess(surrogate, evaluation).remarks if remark.grade >= CARE]
        assert remarks
        assert all("spinode " in remark.remedy for remark in remarks)


def test_remedy_is_not_what_the_search_has_tried(surrogate_with_record, evaluation_with_scores):
    evaluation = evaluation_with_scores(0.2)
    for effort, remedy in (("default", "--effort long"), ("long", MORE_DATA)):
        remarks = assess(searched(surrogate_with_record, effort=effort), evaluation).remarks
        [own] = [remark for remark in remarks if remark.text.startswith("A free run")]
        assert remedy in own.remedy
        assert ("--effort" in own.remedy) == (effort == "default")


# --- noise ----------------------------------------------------------------------------------------------------------------


def without_noise_of(floor, corrected):
    """A model error whose noise is a share of the deviation of the recording."""
    return ModelError(corrected, corrected, 1.2 * corrected, {"mz": corrected}, np.array([0.1 * floor]), floor, "repeats")


def test_noise_is_not_blamed_on_the_model(evaluation_with_scores, sentences):
    headline, remarks = sentences(evaluation=evaluation_with_scores(0.2, model_error=without_noise_of(0.2, 0.012)))
    assert headline.startswith("Trust it")
    assert "NRMSE 0.012 without the noise" in headline
    assert "its rms error is 20 % of the standard deviation of the recording, of which 20 % is measurement noise" in remarks
    assert "Without it the NRMSE is 0.012 (90 % interval 0.012 .. 0.014)" in remarks


def test_error_below_the_noise_is_an_upper_limit(evaluation_with_scores, sentences):
    error = ModelError(0.0, 0.0, 0.03, {"mz": 0.0}, np.array([0.02]), 0.2, "repeats")
    headline, remarks = sentences(evaluation=evaluation_with_scores(0.2, model_error=error))
    assert "follows the recording to within its noise (NRMSE below 0.03 without the noise)" in headline
    assert "Without it the NRMSE is below 0.03" in remarks
    unknown = replace(error, high=0.4)
    assert sentences(evaluation=evaluation_with_scores(0.2, model_error=unknown))[0].startswith("Use it with care")


def test_larger_error_than_that_of_a_linear_model_is_never_called_better(evaluation_with_scores, sentences):
    error = ModelError(0.2, 0.1, 0.3, {"mz": 0.2}, np.array([0.0]), 0.0, "repeats")
    remarks = sentences(evaluation=evaluation_with_scores(0.2, model_error=error, baseline_nrmse=0.15))[1]
    assert "cannot be distinguished from a linear model" in remarks
    assert "better than a linear" not in remarks


@pytest.mark.parametrize("corrected", [0.03, 0.2, 0.5])
def test_grade_is_that_of_the_corrected_error(surrogate_with_record, evaluation_with_scores, corrected):
    evaluation = evaluation_with_scores(0.6, model_error=without_noise_of(0.3, corrected), baseline_nrmse=None)
    expected = GOOD if corrected <= 0.05 else CARE if corrected <= 0.3 else BAD
    assert assess(surrogate_with_record(validation=[]), evaluation).grade == expected


# --- change of the device -------------------------------------------------------------------------------------------------


def test_change_of_the_device_limits_the_trust_in_time(surrogate_with_record, evaluation_with_scores, sentences):
    evaluation = evaluation_with_scores(
        3.0, regime_change_at=6.2e-8, nrmse_before_change=0.01, diverged_at=6.3e-8, coverage=0.4
    )
    headline, remarks = sentences(evaluation=evaluation)
    assert headline.startswith("Trust it up to t = 62 ns and not beyond")
    assert "NRMSE 0.01 before that, 3 over the whole recording" in headline
    assert "From t = 62 ns on the device no longer behaves like the fitted one; up to there the NRMSE is 0.01" in remarks
    assert assess(surrogate_with_record(), evaluation).grade == BAD


@pytest.mark.parametrize(
    ("before", "outside", "start"),
    [
        (0.01, 0.15, "Use it with care up to t = 62 ns, and not beyond"),
        (0.01, 0.50, "Do not rely on it"),
        (0.10, 0.0, "Use it with care up to t = 62 ns, and not beyond"),
        (0.50, 0.0, "Do not rely on it"),
        (None, 0.0, "Do not rely on it"),
    ],
)
def test_model_is_trusted_up_to_a_change_only_if_it_was_good(evaluation_with_scores, sentences, before, outside, start):
    evaluation = evaluation_with_scores(3.0, outside=outside, regime_change_at=6.2e-8, nrmse_before_change=before)
    assert sentences(evaluation=evaluation)[0].startswith(start)


def test_another_device_from_the_start_is_reported(evaluation_with_scores, sentences):
    headline, remarks = sentences(evaluation=evaluation_with_scores(1.5, regime_change_at=6e-8))
    assert headline.startswith("Do not rely on it: the device is not the one that was fitted")
    assert "From the start of this recording" in remarks


# --- single scores --------------------------------------------------------------------------------------------------------


def test_steps_outside_the_domain_are_extrapolation(evaluation_with_scores, sentences):
    headline, remarks = sentences(evaluation=evaluation_with_scores(outside=0.4))
    assert headline == "Do not rely on it: 40 % of the steps lie outside the domain it was fitted on."
    assert "the first at t = 63 ns" in remarks
    assert "extrapolation" in remarks
    assert sentences(evaluation=evaluation_with_scores(outside=0.1))[0].startswith("Use it with care: 10 % of the steps")
    assert sentences(evaluation=evaluation_with_scores(outside=0.001))[0].startswith("Trust it")


def test_diverged_run_is_not_reliable(evaluation_with_scores, sentences):
    headline, remarks = sentences(evaluation=evaluation_with_scores(0.9, diverged_at=6.3e-8))
    assert headline.startswith("Do not rely on it: the run diverges after 3 ns")
    assert "The free run diverges at t = 63 ns" in remarks


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({"nrmse": 0.12, "baseline_nrmse": 0.12}, "a linear model is as good"),
        ({"coverage": 0.5}, "the 90 % interval contains only 50 %"),
    ],
)
def test_reasons_for_doubt_are_in_the_headline(evaluation_with_scores, sentences, scores, reason):
    headline, _ = sentences(evaluation=evaluation_with_scores(**scores))
    assert not headline.startswith("Trust")
    assert reason in headline


def test_restarts_that_differ_call_for_care(surrogate_with_record, sentences):
    headline, remarks = sentences(surrogate_with_record(disagreement=[0.5, 0.1, 0.1]))
    assert headline == "Use it with care: restarts differ by 0.5 standard deviations under a probe drive."
    assert "expect errors of that size under drives unlike the fitted one" in remarks


def test_error_far_above_the_validation_error_is_reported(evaluation_with_scores, sentences):
    headline, _ = sentences(evaluation=evaluation_with_scores(0.04))
    assert headline.startswith("Trust it")
    assert "note that the error is 3.3 times that on the validation data of the fit" in headline
    assert sentences(evaluation=evaluation_with_scores(0.06))[0].startswith("Use it with care")


def test_recording_that_the_fit_has_used_is_not_held_out(surrogate_with_record, sentences):
    used = [{"start": 0.0, "stop": 6.25e-8, "samples": 12_500, "provenance": {"sha256": "bb"}}]
    headline, remarks = sentences(surrogate_with_record(data=used))
    assert headline.startswith("Use it with care: the fit has used this recording")
    assert "The fit has used 50.1 % of this recording" in remarks or "The fit has used 50 % of this recording" in remarks
    other = [{**used[0], "provenance": {"sha256": "cc"}}]
    assert sentences(surrogate_with_record(data=other))[0].startswith("Trust it")


def test_several_outputs_are_graded_by_the_worst(surrogate_with_record, evaluation_with_scores):
    evaluation = evaluation_with_scores(0.03)
    trace, run = evaluation.trace, evaluation.run
    truth = trace.output["mz"]
    two_outputs = replace(trace, output={"mz": truth, "V": 5 * truth}, units={**trace.units, "V": "V"})
    predicted = torch.as_tensor(np.stack([truth, 5 * truth + truth.std()], -1))
    run = replace(run, output=predicted, members=predicted[None], spread=predicted * 0 + 1.0)
    assessment = assess(surrogate_with_record(validation=[]), replace(evaluation, trace=two_outputs, run=run))
    assert assessment.grade == CARE
    assert any("worst output: 'V', 0.2" in remark.text for remark in assessment.remarks)


def test_drive_of_another_interpolation_is_reported(evaluation_with_scores, sentences):
    evaluation = evaluation_with_scores()
    held = replace(evaluation.trace, interpolation={"Ku": "held"})
    remarks = sentences(evaluation=replace(evaluation, trace=held))[1]
    assert "'Ku' is held between samples here and was smooth in the fit" in remarks


def test_measurement_noise_is_reported(surrogate_with_record, sentences):
    surrogate = surrogate_with_record()
    surrogate.noise.fill_(0.002)
    assert "measurement noise of about 2 mV (2 % of its standard deviation)" in sentences(surrogate)[1]


# --- grades ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nrmse", [0.001, 0.02, 0.05, 0.0501, 0.15, 0.3, 0.301, 1.0, 5.0, float("nan")])
def test_grade_never_improves_with_the_error(surrogate_with_record, evaluation_with_scores, nrmse):
    evaluation = evaluation_with_scores(nrmse, baseline_nrmse=None)
    grade = assess(surrogate_with_record(validation=[]), evaluation).grade
    assert grade == (GOOD if nrmse <= 0.05 else CARE if nrmse <= 0.3 else BAD)


def test_remarks_are_sorted_by_grade(surrogate_with_record, evaluation_with_scores):
    evaluation = evaluation_with_scores(0.2, outside=0.4, coverage=0.5)
    grades = [max(remark.grade, 1) for remark in assess(surrogate_with_record(), evaluation).remarks]
    assert grades == sorted(grades, reverse=True)
    assert grades[0] == BAD


def test_headline_counts_the_reasons_it_leaves_out():
    remarks = [Remark(CARE, "A sentence.", f"reason {index}") for index in range(MAX_REASONS + 2)]
    assert _reasons(remarks, CARE) == "reason 0; reason 1; reason 2; and 2 more"


def test_evaluation_of_a_run_is_assessed(surrogate_with_record):
    surrogate = surrogate_with_record()
    time = 5e-12 * np.arange(200)
    trace = Trace(time, drive={"Ku": 7e5 + 1e4 * np.sin(2e10 * time)}, output={"mz": 0.1 * np.cos(2e10 * time)})
    assert len(assess(surrogate, spinode.evaluate(surrogate, trace)).sentences) > 5


def test_noise_alone_says_nothing_about_the_model(evaluation_with_scores, sentences):
    error = ModelError(0.0, 0.0, 2.0, {"mz": 0.0}, np.array([1.0]), 0.995, "the flat part of the error's spectrum")
    headline, remarks = sentences(evaluation=evaluation_with_scores(1.0, model_error=error))[:2]
    assert headline.startswith("Do not rely on it")
    assert "follows the recording to within" not in headline + remarks
    assert "noise" in headline


def test_restarts_that_agree_on_a_poor_model_are_no_promise_for_other_drives(surrogate_with_record):
    agree = {"disagreement": [0.01, 0.01], "kept": [0]}
    for validation, share, promised in ((0.02, 0.05, True), (0.4, 0.05, False), (0.4, 0.6, False), (0.02, 0.6, True)):
        surrogate = searched(surrogate_with_record, **agree, validation=[validation] * 2, short_run_share=share)
        texts = [remark.text for remark in assess_fit(surrogate)]
        assert any("should be valid for other drives" in text for text in texts) is promised
        assert any("restarts agree" in text for text in texts)


def test_a_restricted_search_is_advised_without_its_restrictions(surrogate_with_record):
    surrogate = searched(surrogate_with_record, validation=[0.9], kept=[0], config={"embedding": "delay", "effort": "quick"})
    names = Names(fitted=(("a.csv",), ("--embedding", "delay"), ("--order", "3"), ("--drive", "V")), save="b.st")
    remedies = [remark.remedy for remark in assess_fit(surrogate, names=names)]
    assert any(each.endswith("spinode fit a.csv --drive V --effort default --save b.st") for each in remedies)
    bare = [remark.remedy for remark in assess_fit(surrogate, names=Names())]
    assert any("without --embedding and --order" in each for each in bare)
