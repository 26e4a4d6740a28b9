"""Surrogates and evaluations with chosen scores, for tests of assessment and report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode.dynamics.field import MLPField
from spinode.dynamics.scales import Scales
from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.evaluation.evaluate import Evaluation
from spinode.surrogates.neural_ode.free_run import FreeRun
from spinode.surrogates.neural_ode.member import Member
from spinode.surrogates.neural_ode.ports import Ports
from spinode.surrogates.neural_ode.surrogate import Surrogate
from spinode.traces.trace import Trace

#: Errors of quick fits: order 2 is enough.
ORDER_SCAN = [{"order": 1, "error": 0.8}, {"order": 2, "error": 0.02}, {"order": 3, "error": 0.03}]


@pytest.fixture(scope="session")
def surrogate_with_record():
    """Factory of surrogates with one drive and one output whose record is that of a good fit, with changed entries."""

    def build(order=2, name="mz", drive="Ku", members=3, **record):
        ones = torch.ones(1, dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        points = torch.randn(60, order + 1, generator=generator, dtype=torch.float64)
        good_record = {
            "order_scan": ORDER_SCAN,
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
                Member(MLPField(order, 1, order, hidden=(3,), generator=generator), torch.zeros(1, 1, dtype=torch.float64))
                for _ in range(members)
            ],
            domain=Domain(points, 1.0),
            noise=0 * ones,
            record={**good_record, **record},
        )

    return build


@pytest.fixture(scope="session")
def evaluation_with_scores():
    """Factory of evaluations whose error is a sine of the given NRMSE, with further scores set as given."""

    def build(nrmse=0.012, name="mz", drive="Ku", outside=0.0, **scores):
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
        is_outside = torch.zeros(count, dtype=torch.bool)
        is_outside[count - round(outside * count) :] = True
        spread = torch.full((count, 1), 0.001).double()
        run = FreeRun(torch.as_tensor(time), predicted, predicted[None], spread, is_outside, None)
        evaluation = Evaluation(
            trace=trace, run=run, nrmse=nrmse, r2=1 - nrmse**2, spectrum_error=0.5 * nrmse,
            horizon=((5e-12, 0.001), (1e-9, 0.5 * nrmse), (4.995e-9, nrmse)), diverged_at=None, outside_domain=outside,
            coverage=0.9, regime_change_at=None, nrmse_before_change=None, baseline_nrmse=0.5,
            residuals=np.full((count - 4, 1), 1.0),
        )  # fmt: skip
        return replace(evaluation, **scores)

    return build
