"""The report of a surrogate: a self-contained page with the assessment and figures behind it."""

import re
from html.parser import HTMLParser

import pytest

import spinode
from spinode.errors import TraceError
from spinode.surrogates.neural_ode.evaluation.assessment import assess
from spinode.surrogates.neural_ode.report import report


@pytest.fixture(autouse=True)
def low_resolution(monkeypatch):
    """Drawing takes most of the time of these tests, and none of them checks pixels."""
    monkeypatch.setattr("spinode.reporting.page.DPI", 30)


class ParsedPage(HTMLParser):
    """Tags with their attributes and the text of a page; fails if tags do not nest."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self, page):
        super().__init__()
        self.tags, self.open_tags, self.text = [], [], []
        self.feed(page)
        assert self.open_tags == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_report_is_the_function_of_the_package():
    assert spinode.report is report
    assert callable(spinode.evaluate)
    assert {"report", "evaluate"} <= set(dir(spinode))


def test_page_is_self_contained_and_describes_every_picture(surrogate_with_record, evaluation_with_scores):
    surrogate, evaluation = surrogate_with_record(), evaluation_with_scores()
    page = report(surrogate, evaluation, title="A title")
    parsed = ParsedPage(page)
    assert not re.search(r"https?://|@import|url\(", page)
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert not {"href", "srcset", "onload", "onerror"} & set(attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,")
            assert len(attributes["alt"]) > 20
    assert sum(tag == "img" for tag, _ in parsed.tags) >= 10
    text = "".join(parsed.text).replace("\u00a0", " ")
    for part in ("A title", *assess(surrogate, evaluation).sentences, "f00d", "b.txt", "16, 16", "restart 1, kept"):
        assert part in text


def test_text_from_files_stays_text(surrogate_with_record, evaluation_with_scores):
    hostile = "<script>alert('x')</script>$\\x\x00\x1b\"&"
    data = [{"start": 0.0, "stop": 1.0, "samples": 1, "provenance": {hostile: hostile}}]
    surrogate = surrogate_with_record(name=hostile, drive=f"u{hostile}", data=data)
    evaluation = evaluation_with_scores(name=hostile, drive=f"u{hostile}", notes=(hostile,))
    page = report(surrogate, evaluation, title=hostile)
    parsed = ParsedPage(page)
    assert "<script" not in page
    assert not [tag for tag, _ in parsed.tags if tag == "script"]
    assert "alert('x')" in "".join(parsed.text)
    assert not re.search("[\x00\x1b]", page)


def test_page_is_written_atomically(surrogate_with_record, evaluation_with_scores, tmp_path, monkeypatch):
    monkeypatch.setattr("spinode.surrogates.neural_ode.report._figure_sections", lambda *_: ())  # they take a second
    surrogate, evaluation, path = surrogate_with_record(), evaluation_with_scores(), tmp_path / "report.html"
    page = report(surrogate, evaluation, path)
    assert path.read_text(encoding="utf-8") == page
    with pytest.raises(TraceError, match="cannot write"):
        report(surrogate, evaluation, tmp_path / "missing" / "report.html")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_surrogate_without_a_record_gets_a_report(surrogate_with_record, evaluation_with_scores):
    surrogate = surrogate_with_record()
    surrogate.record.clear()
    assert "no history" not in assess(surrogate, evaluation_with_scores(baseline_nrmse=None)).headline
    assert report(surrogate, evaluation_with_scores()).startswith("<!DOCTYPE html>")
