"""What objects show in a notebook: valid HTML with a picture, nothing loaded, text escaped, and never an error."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import spinode
from spinode import Trace
from spinode.datasets import STTMRAM, PermutedTasks, TiO2, WeakReset, made_digits, read_trace, sample_path
from spinode.surrogates import IdealSynapse, zoo
from spinode.surrogates.testing import resonator
from spinode.training import PlainLearner, train


class Balanced(HTMLParser):
    """Check that every tag is closed, and collect what the page loads."""

    def __init__(self):
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.sources.append(dict(attrs)["src"])
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def pictures(shown) -> list[bytes]:
    """Return the PNG files in the HTML of an object."""
    parser = Balanced()
    parser.feed(shown._repr_html_())
    assert parser.open == []
    assert all(source.startswith("data:image/png;base64,") for source in parser.sources)
    return [base64.b64decode(source.partition(",")[2]) for source in parser.sources]


def a_trace(name="V"):
    return Trace(np.arange(100) * 1e-9, {name: np.arange(100.0)}, {"I": np.sin(np.arange(100.0))}, units={"I": "A"})


def test_a_recording_and_its_scores_show_a_picture():
    surrogate = zoo.open("macrospin")
    trace = read_trace(sample_path("macrospin_held.csv"), drive="Ku", output="mz").between(0, 1e-9)
    for shown in (trace, surrogate, spinode.evaluate(surrogate, trace), a_trace()):
        (png,) = pictures(shown)
        assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "device", [WeakReset(), TiO2(), STTMRAM(), IdealSynapse(), zoo.open("tio2-nili")], ids=lambda d: type(d).__name__
)
def test_devices_show_a_picture_and_the_random_state_of_torch_is_left_alone(device):
    before = torch.random.get_rng_state()
    assert len(pictures(device)) == 1
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_result_shows_its_figures():
    stream = PermutedTasks(made_digits(train=40, test=20), tasks=2, seed=0)
    result = train(PlainLearner(stream, hidden=[4]), stream, epochs=1)
    assert len(pictures(result)) == 1
    assert "BWT" in result._repr_html_()


def test_names_from_files_are_escaped():
    html = a_trace("<script>alert(1)</script>")._repr_html_()
    assert "<script" not in html
    assert re.search("&lt;script&gt;", html)


def test_where_no_picture_can_be_drawn_the_sentence_stands_in_its_place():
    surrogate = resonator(gain=0.5)

    def no_rest(*args, **options):
        raise spinode.DomainError("there is no resting state.")

    surrogate.simulate = no_rest
    assert pictures(surrogate) == []
    assert "there is no resting state." in surrogate._repr_html_()
