"""Figures of a surrogate and its evaluation.

Each `plot_*` function draws into the given Axes, or into those of a new `matplotlib.figure.Figure`, and returns them;
`ax.figure.savefig(path)` writes the picture. The functions neither use the global state of pyplot nor open a window, and
matplotlib is imported when the first figure is drawn.

Example:
    >>> import spinode
    >>> from spinode.datasets import read_trace, sample_path
    >>> from spinode.surrogates.neural_ode import plots
    >>> surrogate = spinode.load(spinode.surrogates.zoo.path("macrospin"))
    >>> trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
    >>> ax = plots.plot_spectrum(spinode.evaluate(surrogate, trace.between(40e-9, 42e-9)))
    >>> ax.get_xlabel()
    'frequency (GHz)'
"""

from .errors import (
    plot_coverage as plot_coverage,
    plot_horizon as plot_horizon,
    plot_parity as plot_parity,
    plot_residuals as plot_residuals,
)
from .fits import plot_domain as plot_domain, plot_history as plot_history
from .fleet import plot_distributions as plot_distributions, plot_wafer as plot_wafer
from .waveforms import plot_overlay as plot_overlay, plot_phase as plot_phase, plot_spectrum as plot_spectrum
