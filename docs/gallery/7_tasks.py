"""
Forgetting, task after task
===========================
"""

from spinode.datasets import PermutedTasks, made_digits
from spinode.training import MetaplasticBNN, StreamConfig, train
from spinode.training.results.plots import plot_accuracies

stream = PermutedTasks(made_digits(train=500, test=200), tasks=4, seed=0)
learner = MetaplasticBNN(stream, hidden=[50], metaplasticity=5.0, seed=0)
result = train(learner, stream, StreamConfig(batch_size=50, epochs=2))
ax = plot_accuracies(result.accuracy)
ax.figure.savefig("tasks.png", dpi=90)
