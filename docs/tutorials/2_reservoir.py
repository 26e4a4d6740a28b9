"""
2. A twin of a device, and a reservoir that forecasts
=====================================================

A surrogate takes the place of the device as a reservoir, and two controls say what the device is worth.
"""

# %%
# The twin
# --------
# The shipped surrogate of a macrospin. For a skyrmion, record the film first, which takes minutes:
#
# .. code-block:: python
#
#    film, rest = skyrmion_device(1)
#    trace = film.trace(times, rest, Ku=steps, interpolation="held")
#    surrogate = spinode.fit(trace)
import numpy as np
import torch
from matplotlib.figure import Figure

from spinode.datasets import mackey_glass
from spinode.surrogates import EchoState, LinearNodes, Reservoir, RidgeStatistics, zoo

torch.manual_seed(0)
surrogate = zoo.open("macrospin")
print(surrogate.describe())

# %%
# One series, a device and two controls
# -------------------------------------
# Each value of the series drives 20 virtual nodes; a ridge regression reads them out. The controls: an echo-state network of
# 20 nodes, which is what a computer would do, and the value of the series itself, read out linearly. Where a control is as
# good, the device is not needed.
series = mackey_glass(900)
NODES, TRAIN, TEST = 20, slice(100, 600), slice(600, 899)
device = Reservoir(surrogate, nodes=NODES, hold=30e-12, scale=5e3, offset=6.9e5, seed=0)
controls = {"echo-state network": EchoState(NODES, seed=0), "linear, no memory": LinearNodes()}


def forecast(reservoir, ahead):
    """Return the forecast of the test part and its NRMSE."""
    with torch.no_grad():
        states = reservoir(series)
    targets = series.roll(-ahead)
    statistics = RidgeStatistics(states.shape[-1])
    statistics.add(states[TRAIN], targets[TRAIN])
    stop = 899 - ahead
    answer = statistics.solve()(states[600:stop])[:, 0]
    error = (answer - targets[600:stop]).square().mean().sqrt() / targets[600:stop].std()
    return answer, float(error)


AHEAD = (1, 4, 8)
scores = {}
for name, reservoir in {"device": device, **controls}.items():
    scores[name] = [forecast(reservoir, ahead)[1] for ahead in AHEAD]
    print(f"{name:20}", "  ".join(f"{ahead} ahead {score:.3f}" for ahead, score in zip(AHEAD, scores[name], strict=True)))

# %%
# A run that leaves the domain of the surrogate says so:
print(f"share of the run outside the domain: {float(device.outside):.1%}")

# %%
# A file to keep: the forecasts. And the picture:
answer, error = forecast(device, 1)
np.savetxt("forecast.csv", np.column_stack([series[601:899], answer]), delimiter=",", header="series,forecast", comments="")
figure = Figure(figsize=(9, 3.2), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(series[601:751], color="#1a1a1a", linewidth=2.2, label="series")
left.plot(answer[:150], "--", color="#0072b2", label=f"device, one ahead, NRMSE {error:.3f}")
left.set_xlabel("point")
left.legend(frameon=False)
for name, values in scores.items():
    right.plot(AHEAD, values, "o-", label=name)
right.set_xlabel("points ahead")
right.set_ylabel("NRMSE")
right.legend(frameon=False)
figure.savefig("forecast.png", dpi=100)
