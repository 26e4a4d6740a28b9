"""Figures of a surrogate and its evaluation.

Each `plot_*` function draws into the Axes it is given, or into those of a new `matplotlib.figure.Figure`, and returns them;
`ax.figure.savefig(path)` writes the picture. Nothing here touches pyplot's global state or opens a window, and matplotlib
is imported when the first figure is drawn.
"""

from .errors import (
    plot_coverage as plot_coverage,
    plot_horizon as plot_horizon,
    plot_parity as plot_parity,
    plot_residuals as plot_residuals,
)
from .fits import plot_domain as plot_domain, plot_history as plot_history
from .waves import plot_overlay as plot_overlay, plot_phase as plot_phase, plot_spectrum as plot_spectrum
