"""The report: sentences that are never rosier than the numbers, and a page that stands alone."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from spinode.dynamics.field import MLPField
from spinode.dynamics.scales import Scales
from spinode.errors import TraceError
from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.evaluation.assessment import BAD, CARE, GOOD, judge
from spinode.surrogates.neural_ode.evaluation.evaluate import Evaluation, evaluate
from spinode.surrogates.neural_ode.free_run import FreeRun
from spinode.surrogates.neural_ode.member import Member
from spinode.surrogates.neural_ode.ports import Ports
from spinode.surrogates.neural_ode.report import order_verdict, report, verdict
from spinode.surrogates.neural_ode.surrogate import Surrogate
from spinode.traces.trace import Trace

SCAN = [{"order": 1, "error": 0.8}, {"order": 2, "error": 0.02}, {"order": 3, "error": 0.03}]


@pytest.fixture(autouse=True)
def _coarse_pictures(monkeypatch):
    """Drawing takes most of the time of these tests, and no test looks at the pixels."""
    monkeypatch.setattr("spinode.surrogates.neural_ode.report.DPI", 30)


def surrogate_of(order=2, name="mz", drive="Ku", members=3, **record):
    size = order
    ones = torch.ones(1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(60, size + 1, generator=generator, dtype=torch.float64)
    fitted = {
        "order_scan": SCAN,
        "validation": [0.012, 0.013, 0.011],
        "disagreement": [0.03, 0.03, 0.03],
        "kept": [0, 1, 2],
        "data": [{"start": 0.0, "stop": 5e-8, "samples": 10_000, "provenance": {"file": "a.txt", "sha256": "aa"}}],
        "config": {"hidden": [16, 16], "order": None},
        "history": [{"restart": 0, "stage": 0, "window": 1, "validation": 0.1, "residual": 0.1, "steps": 2, "start": 1.0}],
        "fingerprint": "f00d",
        "versions": {"torch": "2"},
    }
    return Surrogate(
        ports=Ports((drive,), (name,), units={drive: "J/m3", name: "V"}, interpolation={drive: "spline"}),
        embedding=Embedding("derivative", order),
        interval=5e-12,
        scales=Scales(0 * ones, 0.1 * ones, 0.1 * torch.ones(order, 1, dtype=torch.float64), 7e5 * ones, 1e4 * ones),
        members=[
            Member(MLPField(size, 1, size, hidden=(3,), generator=generator), torch.zeros(1, 1, dtype=torch.float64))
            for _ in range(members)
        ],
        domain=Domain(points, 1.0),
        noise=0 * ones,
        record={**fitted, **record},
    )


def evaluation_of(nrmse=0.012, name="mz", drive="Ku", outside=0.0, **scores):
    count = 1000
    time = 6e-8 + 5e-12 * np.arange(count)
    truth = 0.1 * np.sin(2 * np.pi * 4e9 * time)
    error = nrmse * truth.std() * np.sqrt(2) * np.cos(2 * np.pi * 3e9 * time)
    trace = Trace(
        time,
        drive={drive: 7e5 + 1e4 * np.cos(2 * np.pi * 1e9 * time)},
        output={name: truth},
        units={drive: "J/m3", name: "V"},
        interpolation={drive: "spline"},
        provenance={"file": "b.txt", "sha256": "bb"},
    )
    predicted = torch.as_tensor(truth + error)[:, None]
    flags = torch.zeros(count, dtype=torch.bool)
    flags[count - round(outside * count) :] = True
    run = FreeRun(torch.as_tensor(time), predicted, predicted[None], torch.full((count, 1), 0.001).double(), flags, None)
    made = Evaluation(
        trace=trace, run=run, nrmse=nrmse, r2=1 - nrmse**2, spectrum_error=0.5 * nrmse,
        horizon=((5e-12, 0.001), (1e-9, 0.5 * nrmse), (4.995e-9, nrmse)), diverged_at=None, outside_domain=outside,
        coverage=0.9, regime_change_at=None, nrmse_before_change=None, baseline_nrmse=0.5,
        residuals=np.full((count - 4, 1), 1.0),
    )  # fmt: skip
    return replace(made, **scores)


def said(surrogate=None, evaluation=None):
    lines = verdict(surrogate or surrogate_of(), evaluation or evaluation_of())
    return lines[0], "\n".join(lines[1:])


def test_a_good_model_is_called_good_within_its_domain():
    headline, rest = said()
    assert headline.startswith("Trust it within its domain: the free run follows the recording very closely (NRMSE 0.012)")
    assert "Over the whole run (4.995 ns) the rms error since the start stays below 5 %" in rest
    assert "linear ARX model fitted to the same stretch reaches NRMSE 0.5, 42 times as much" in rest
    assert "Order 2 suffices: in quick fits order 3 reaches 0.03, order 2 0.02." in rest
    assert "The fit saw 50 ns of one recording: 10000 samples every 5 ps." in rest


def test_without_a_cross_check_the_trust_ends_at_drives_like_the_fitted_one():
    surrogate = surrogate_of(validation=[0.012], disagreement=[0.0], kept=[0], members=1)
    headline, rest = said(surrogate)
    assert headline.startswith("Trust it for drives like the fitted one:")
    assert "Nothing tells how it holds under another drive, since only one restart was made" in rest
    assert "With a single member" in rest


def test_order_one_is_said_to_be_insufficient_first_of_all():
    headline, rest = said(surrogate_of(order=1), evaluation_of(0.6))
    assert headline.startswith("Do not rely on it: order 1 is not enough for this device;")
    assert rest.startswith(
        "Order 1 is not enough for this device: in quick fits a state of order 2 reaches an error of 0.02, order 1 0.8."
    )
    assert order_verdict(surrogate_of(order=1))[0].startswith("Order 1 is not enough for this device")
    assert order_verdict(surrogate_of(order=2))[0].startswith("Order 2 suffices")


def test_order_one_without_any_scan_is_doubted_where_it_fails():
    surrogate = surrogate_of(order=1, order_scan=[])
    assert "try order=2" in said(surrogate, evaluation_of(0.6))[1]
    assert "it is open whether a larger one would do better" in said(surrogate)[1]


def test_an_order_that_follows_as_little_as_the_next_one_does_not_suffice():
    scan = [{"order": 2, "error": 0.5}, {"order": 3, "error": 0.45}]
    assert "neither order 2 (0.5) nor order 3 (0.45) follows the device" in order_verdict(surrogate_of(order_scan=scan))[0]


def test_a_quick_fit_that_failed_counts_as_infinitely_bad():
    scan = [{"order": 1, "error": float("inf")}, {"order": 2, "error": 0.02}]
    assert "Order 1 is not enough" in order_verdict(surrogate_of(order=1, order_scan=scan))[0]
    scan = [{"order": 1, "error": 0.5}, {"order": 2, "error": float("inf")}]
    assert "it is open whether" in order_verdict(surrogate_of(order=1, order_scan=scan))[0]


def test_a_state_that_misses_the_next_samples_is_insufficient_whatever_the_scan_says():
    # Over 4 samples of 5 ps a sine of 4 GHz moves by 0.35 of its deviation, rms.
    level = [0.2]
    headline, _ = said(surrogate_of(residual_level=level), evaluation_of(0.4))
    assert "order 2 is not enough" in headline
    assert "order 2 is not enough" not in said(surrogate_of(residual_level=[0.01]), evaluation_of(0.4))[0]


def test_a_change_of_the_device_limits_the_trust_in_time():
    evaluation = evaluation_of(3.0, regime_change_at=6.2e-8, nrmse_before_change=0.01, diverged_at=6.3e-8, coverage=0.4)
    headline, rest = said(evaluation=evaluation)
    assert headline.startswith("Trust it up to t = 62 ns and not beyond")
    assert "NRMSE 0.01 before that, 3 over the whole stretch" in headline
    assert "From t = 62 ns the device no longer behaves as the one that was fitted; up to there its NRMSE is 0.01" in rest
    assert judge(surrogate_of(), evaluation).grade == BAD


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
def test_before_a_change_the_model_must_have_been_good(before, outside, start):
    evaluation = evaluation_of(3.0, outside=outside, regime_change_at=6.2e-8, nrmse_before_change=before)
    assert said(evaluation=evaluation)[0].startswith(start)


def test_another_device_from_the_start_is_said():
    headline, rest = said(evaluation=evaluation_of(1.5, regime_change_at=6e-8))
    assert headline.startswith("Do not rely on it: the device is not the one that was fitted")
    assert "From the start of this recording" in rest


def test_steps_outside_the_domain_are_extrapolation():
    evaluation = evaluation_of(outside=0.4)
    headline, rest = said(evaluation=evaluation)
    assert headline == "Do not rely on it: 40 % of the steps lie outside the domain it was fitted on."
    assert "the first at t = 63 ns" in rest
    assert "extrapolation" in rest
    assert said(evaluation=evaluation_of(outside=0.1))[0].startswith("Use it with care: 10 % of the steps")
    assert said(evaluation=evaluation_of(outside=0.001))[0].startswith("Trust it")


def test_a_diverged_run_is_not_to_be_relied_on():
    headline, rest = said(evaluation=evaluation_of(0.9, diverged_at=6.3e-8))
    assert headline.startswith("Do not rely on it: the run diverges after 3 ns")
    assert "The free run diverges at t = 63 ns" in rest


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"nrmse": 0.12, "baseline_nrmse": 0.12}, "a linear model does as well"),
        ({"nrmse": 0.12, "baseline_nrmse": 0.18}, "a linear model is almost as good"),
        ({"coverage": 0.5}, "the 90 % interval holds only 50 %"),
    ],
)
def test_doubts_reach_the_headline(changed, words):
    headline, _ = said(evaluation=evaluation_of(**changed))
    assert not headline.startswith("Trust")
    assert words in headline


def test_restarts_that_disagree_call_for_care():
    headline, rest = said(surrogate_of(disagreement=[0.5, 0.1, 0.1]))
    assert headline == "Use it with care: restarts disagree by 0.5 deviations under a probe drive."
    assert "expect errors of that size under drives unlike the fitted one" in rest


def test_an_error_far_above_that_of_the_validation_is_a_surprise():
    assert "3.3 times that of the fit's own validation" in said(evaluation=evaluation_of(0.04))[0]


def test_a_stretch_that_the_fit_has_seen_is_no_held_out_score():
    seen = [{"start": 0.0, "stop": 6.25e-8, "samples": 12_500, "provenance": {"sha256": "bb"}}]
    headline, rest = said(surrogate_of(data=seen))
    assert headline.startswith("Use it with care: the fit has seen this stretch")
    assert "50.1 % of this stretch is data that the fit has seen" in rest or "50 % of this stretch" in rest
    other = [{**seen[0], "provenance": {"sha256": "cc"}}]
    assert said(surrogate_of(data=other))[0].startswith("Trust it")


def test_several_outputs_are_judged_by_the_worst():
    evaluation = evaluation_of(0.03)
    trace, run = evaluation.trace, evaluation.run
    truth = trace.output["mz"]
    both = replace(trace, output={"mz": truth, "V": 5 * truth}, units={**trace.units, "V": "V"})
    predicted = torch.as_tensor(np.stack([truth, 5 * truth + truth.std()], -1))
    run = replace(run, output=predicted, members=predicted[None], spread=predicted * 0 + 1.0)
    judged = judge(surrogate_of(validation=[]), replace(evaluation, trace=both, run=run))
    assert judged.grade == CARE
    assert any("worst output: 'V', 0.2" in remark.text for remark in judged.remarks)


def test_the_drive_of_another_kind_is_named():
    evaluation = evaluation_of()
    held = replace(evaluation.trace, interpolation={"Ku": "held"})
    assert "'Ku' is held between samples here and was smooth in the fit" in said(evaluation=replace(evaluation, trace=held))[1]


def test_noise_bounds_what_can_be_reached():
    surrogate = surrogate_of()
    surrogate.noise.fill_(0.002)
    assert "measurement noise of about 2 mV (2 % of its deviation)" in said(surrogate)[1]


@pytest.mark.parametrize("nrmse", [0.001, 0.02, 0.05, 0.0501, 0.15, 0.3, 0.301, 1.0, 5.0, float("nan")])
def test_the_grade_never_improves_with_the_error(nrmse):
    evaluation = evaluation_of(nrmse, baseline_nrmse=None)
    grade = judge(surrogate_of(validation=[]), evaluation).grade
    assert grade == (GOOD if nrmse <= 0.05 else CARE if nrmse <= 0.3 else BAD)


def test_a_surrogate_without_a_record_gets_a_report():
    bare = surrogate_of()
    bare.record.clear()
    assert "no history" not in verdict(bare, evaluation_of(baseline_nrmse=None))[0]
    assert report(bare, evaluation_of()).startswith("<!DOCTYPE html>")


class Page(HTMLParser):
    """Tags with their attributes, and whether they nest."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_self_contained_and_every_picture_has_words():
    page = report(surrogate_of(), evaluation_of(), title="A title")
    parsed = Page(page)
    assert not re.search(r"https?://|@import|url\(", page)
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert not {"href", "srcset", "onload", "onerror"} & set(attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,")
            assert len(attributes["alt"]) > 20
    assert sum(tag == "img" for tag, _ in parsed.tags) >= 10
    text = "".join(parsed.text).replace("\u00a0", " ")
    for part in ("A title", *verdict(surrogate_of(), evaluation_of()), "f00d", "b.txt", "16, 16", "restart 1, kept"):
        assert part in text


def test_text_from_files_stays_text():
    hostile = "<script>alert('x')</script>$\\x\x00\x1b\"&"
    surrogate = surrogate_of(
        name=hostile, drive=f"u{hostile}", data=[{"start": 0.0, "stop": 1.0, "samples": 1, "provenance": {hostile: hostile}}]
    )
    evaluation = evaluation_of(name=hostile, drive=f"u{hostile}", notes=(hostile,))
    page = report(surrogate, evaluation, title=hostile)
    parsed = Page(page)
    assert "<script" not in page
    assert not [tag for tag, _ in parsed.tags if tag == "script"]
    assert "alert('x')" in "".join(parsed.text)
    assert not re.search("[\x00\x1b]", page)


def test_the_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("spinode.surrogates.neural_ode.report._figures", lambda *_: "")  # they take a second
    path = tmp_path / "report.html"
    page = report(surrogate_of(), evaluation_of(), path)
    assert path.read_text(encoding="utf-8") == page
    with pytest.raises(TraceError, match="cannot write"):
        report(surrogate_of(), evaluation_of(), tmp_path / "missing" / "report.html")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_a_real_evaluation_gets_a_verdict():
    surrogate = surrogate_of()
    time = 5e-12 * np.arange(200)
    trace = Trace(time, drive={"Ku": 7e5 + 1e4 * np.sin(2e10 * time)}, output={"mz": 0.1 * np.cos(2e10 * time)})
    evaluation = evaluate(surrogate, trace)
    assert len(verdict(surrogate, evaluation)) > 5
