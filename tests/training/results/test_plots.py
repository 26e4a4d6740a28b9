"""Plots show the measured values, and nothing where nothing was tested."""

import numpy as np
import pytest
import torch

from spinode.errors import ConfigError
from spinode.training import AccuracyMatrix, roc_auc
from spinode.training.results.plots import MAX_LABELLED, plot_accuracies, plot_sliding, plot_tasks, plot_uncertainty, save_plots
from spinode.training.results.result import StreamResult


def matrix(tasks, recent=None, seed=0):
    values = np.random.default_rng(seed).random((tasks, tasks))
    after, tested = np.indices((tasks, tasks))
    values[tested > after] = np.nan
    if recent is not None:
        values[(after - tested >= recent) & (after < tasks - 1)] = np.nan
    return AccuracyMatrix(values, np.full(tasks, np.nan))


def result(tasks=6, seed=0, recent=3, ood=True, **accuracies):
    generator = torch.Generator().manual_seed(seed)
    detection = {}
    for kind in ("epistemic", "aleatoric", "total") if ood else ():
        detection[f"newest {kind}"] = torch.rand(200, generator=generator)
        detection[f"ood {kind}"] = 0.5 + torch.rand(300, generator=generator)
    return StreamResult("mesu", "toy", seed, recent, accuracies or {"shared": matrix(tasks, seed=seed)}, detection=detection)


def test_the_matrix_is_shown_in_percent_and_blank_where_untested():
    known = matrix(4)
    ax = plot_accuracies(known, title="rule")
    drawn = ax.collections[0].get_array().reshape(4, 4)
    np.testing.assert_array_equal(np.ma.getmaskarray(drawn), np.isnan(known.values))
    np.testing.assert_allclose(drawn.compressed(), 100 * known.values[~np.isnan(known.values)])
    words = {(text.get_position(), text.get_text()) for text in ax.texts}
    assert ((1, 3), f"{100 * known.values[2, 0]:.0f}") in words  # task 1 after task 3
    assert len(words) == 10
    assert ax.get_ylim() == (4.5, 0.5)  # the first row on top
    assert len(plot_accuracies(matrix(30)).texts) == 0


def test_the_curve_of_a_task_begins_when_it_is_learned():
    known = matrix(5)
    curves = [line for line in plot_tasks(known).get_lines() if line.get_label().startswith("task")]
    assert [line.get_label() for line in curves] == [f"task {i}" for i in range(1, 6)]
    for index, line in enumerate(curves):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(index, 5) + 1)
        np.testing.assert_allclose(line.get_ydata(), 100 * known.values[index:, index])


def test_a_curve_is_interrupted_where_nothing_was_tested():
    """A line from the newest tests to those at the end would suggest values that were not measured."""
    known = matrix(30, recent=4)
    ax = plot_tasks(known)
    assert MAX_LABELLED < 30
    assert ax.get_legend() is None
    first, isolated = ax.get_lines()[:2]
    assert np.isnan(first.get_ydata()[4:-1]).all()
    assert not np.isnan(first.get_ydata()[:4]).any()
    np.testing.assert_array_equal(isolated.get_xdata(), [30])
    np.testing.assert_allclose(isolated.get_ydata(), 100 * known.values[-1, 0])


def test_sliding_mean_of_seeds_with_a_band():
    results = [result(8, seed) for seed in range(3)]
    ax = plot_sliding(results)
    curves = np.array([each.accuracy.sliding(3) for each in results])
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), 100 * curves.mean(0))
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(100 * (curves.mean(0) + curves.std(0, ddof=1)).max())
    assert "3 seeds" in ax.get_legend().get_texts()[0].get_text()
    both = plot_sliding([results, [result(8, 7)]], labels=["one", "two"])
    assert [text.get_text() for text in both.get_legend().get_texts()] == ["one", "two"]
    assert len(both.collections) == 1  # one seed has no band
    with pytest.raises(ConfigError, match="no results to draw"):
        plot_sliding([])


def test_histograms_are_densities_and_the_title_is_the_auc():
    known = result()
    ax = plot_uncertainty(known, kind="total")
    newest, ood = known.detection["newest total"], known.detection["ood total"]
    for bars in ax.containers:
        assert sum(bar.get_height() * bar.get_width() for bar in bars) == pytest.approx(1)
    assert ax.get_title(loc="left") == f"area under the ROC curve: {roc_auc(newest, ood):.3f}"
    with pytest.raises(ConfigError, match=r"the run had no out-of-distribution tests; pass ood=\.\.\. to train"):
        plot_uncertainty(result(ood=False))
    with pytest.raises(ConfigError, match="kind is 'other'; expected one of epistemic, aleatoric, total"):
        plot_uncertainty(known, kind="other")


def test_save_plots_writes_png_files(tmp_path):
    paths = save_plots(result(), tmp_path)
    assert {path.name for path in paths} == {
        "accuracies.png", "tasks.png", "sliding.png", "uncertainty-epistemic.png", "uncertainty-aleatoric.png",
    }  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    single = result(ood=False)
    single.detection.update({"newest epistemic": torch.zeros(3), "ood epistemic": torch.zeros(3)})
    assert {path.name for path in save_plots(single, tmp_path)} == {"accuracies.png", "tasks.png", "sliding.png"}
    views = result(ood=False, task=matrix(3), shared=matrix(3, seed=1))
    names = {path.name for path in save_plots(views, tmp_path)}
    assert names == {"accuracies-task.png", "accuracies-shared.png", "tasks-task.png", "tasks-shared.png", "sliding.png"}
