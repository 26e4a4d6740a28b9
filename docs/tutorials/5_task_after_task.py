"""
5. Learning task after task
===========================

A network forgets what it no longer sees. Metaplasticity holds it, a Bayesian rule forgets on purpose, and knows what it does
not know.
"""

# %%
# Three tasks: the same digits with their pixels in another order
# ---------------------------------------------------------------
import numpy as np
import torch
from matplotlib.figure import Figure

from spinode.datasets import PermutedTasks, TaskSequence, made_digits
from spinode.training import MetaplasticBNN, OnlineLearner, StreamConfig, train

torch.set_num_threads(1)
images = made_digits(train=1000, test=300)
stream = PermutedTasks(images, tasks=3, seed=0)

# %%
# Forget, and hold
# ----------------
# A binary network, with m = 0, and with hidden weights that change the less, the larger they are.
results = {}
for m in (0.0, 15.0):
    learner = MetaplasticBNN(stream, hidden=[100], metaplasticity=m, seed=0)
    results[f"binary, m = {m:g}"] = train(learner, stream, StreamConfig(batch_size=50, epochs=4))
    accuracy = results[f"binary, m = {m:g}"].accuracies["task"]
    print(f"m = {m:g}: first task {accuracy.first:.2f} at the end, newest {accuracy.newest:.2f}")

# %%
# Know what you do not know
# -------------------------
# MESU takes one sample at a time. Its uncertainty recognises images that belong to no task.
stream = PermutedTasks(images, tasks=3, seed=0, scale="standard")
unknown = TaskSequence([images] * 3, names=["unpermuted 0", "unpermuted 1", "unpermuted 2"], scale="standard")
mesu = OnlineLearner(stream, rule="mesu", hidden=[50], memory=10_000, seed=0)
results["MESU"] = train(mesu, stream, StreamConfig(batch_size=1, epochs=3), ood=unknown)
detection = float(results["MESU"].detection["auc epistemic"].mean())
print(f"MESU: newest {results['MESU'].accuracy.newest:.2f}, unknown images are detected with an AUC of {detection:.2f}")

# %%
# Files to keep: figures and accuracies of the run. The picture: the accuracy of each task at the end.
results["MESU"].save("runs/mesu")
figure = Figure(figsize=(7, 3.4), layout="constrained")
ax = figure.subplots()
for number, (name, result) in enumerate(results.items()):
    values = result.accuracy.values[-1]
    ax.bar(np.arange(3) + 0.27 * (number - 1), values, 0.25, label=name)
ax.set_xticks(range(3), ["task 1", "task 2", "task 3"])
ax.set_ylabel("accuracy at the end")
ax.legend(frameon=False, loc="lower right")
figure.savefig("tasks.png", dpi=100)
