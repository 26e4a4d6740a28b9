"""Train on tasks in sequence: binary networks with and without metaplasticity, and one that detects unknown data."""

import torch

from spinode.datasets import PermutedTasks, TaskSequence, made_digits
from spinode.training import MetaplasticBNN, OnlineLearner, StreamConfig, train

torch.set_num_threads(1)

# Each task has the same images with the pixels in another order: a network must learn the new order and remember the others.
# mnist("folder") instead of made_digits() gives the published stream.
images = made_digits(train=2000, test=500)
stream = PermutedTasks(images, tasks=3, seed=0)

# In batches: a binary network whose hidden weights change less, the larger they are.
first_task = {}
for m in (0.0, 15.0):
    learner = MetaplasticBNN(stream, hidden=[200], metaplasticity=m, seed=0)  # synapse=... stores its weights in devices
    result = train(learner, stream, StreamConfig(batch_size=50, epochs=5))
    accuracy = result.accuracies["task"]  # with the batch norms of the tested task; "shared": with the newest
    first_task[m] = accuracy.first
    print(f"binary, m = {m:g}: first task {accuracy.first:.2f} at the end, newest {accuracy.newest:.2f}")
assert first_task[15.0] > first_task[0.0] + 0.1

# One sample at a time, compiled: MESU, which forgets what is older than its memory (in steps), and is uncertain about data
# unlike those that it was trained on.
stream = PermutedTasks(images, tasks=5, seed=0, scale="standard")
ood = TaskSequence([images] * 5, names=[f"unpermuted {i}" for i in range(5)], scale="standard")
mesu = OnlineLearner(stream, rule="mesu", hidden=[50], memory=10_000, seed=0)
result = train(mesu, stream, StreamConfig(batch_size=1, epochs=3), ood=ood)
detection = float(result.detection["auc epistemic"].mean())
print(f"MESU: last five tasks {result.accuracy.last(5):.2f}, newest {result.accuracy.newest:.2f}")
print(f"unpermuted images are detected with an AUC of {detection:.2f}")
assert detection > 0.9
