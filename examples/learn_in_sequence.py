"""Tasks one after the other: a binary network that forgets, one that holds on, and one that knows what it does not know."""

import torch

from spinode.datasets import PermutedTasks, TaskSequence, made_digits
from spinode.training import MetaplasticBNN, OnlineLearner, StreamConfig, train

torch.set_num_threads(1)

# The same images in each task, with their pixels in another order: a network must learn each anew, and keep the others.
# mnist("folder") in place of made_digits() gives the published stream.
images = made_digits(train=2000, test=500)
stream = PermutedTasks(images, tasks=3, seed=0)

# In batches: a binary network whose hidden weights hold on the more strongly, the larger they are.
kept = {}
for m in (0.0, 15.0):
    learner = MetaplasticBNN(stream, hidden=[200], metaplasticity=m, seed=0)  # synapse=... puts its weights into devices
    result = train(learner, stream, StreamConfig(batch_size=50, epochs=5))
    accuracy = result.accuracies["task"]  # with the norms of the tested task; "shared": with the newest ones
    kept[m] = accuracy.first
    print(f"binary, m = {m:g}: first task {accuracy.first:.2f} at the end, newest {accuracy.newest:.2f}")
assert kept[15.0] > kept[0.0] + 0.1

# One sample at a time, compiled: MESU, which forgets beyond its memory (in steps), and is unsure of what it has not seen.
stream = PermutedTasks(images, tasks=5, seed=0, scale="standard")
ood = TaskSequence([images] * 5, names=[f"unpermuted {i}" for i in range(5)], scale="standard")
mesu = OnlineLearner(stream, rule="mesu", hidden=[50], memory=10_000, seed=0)
result = train(mesu, stream, StreamConfig(batch_size=1, epochs=3), ood=ood)
told = float(result.detection["auc epistemic"].mean())
print(f"MESU: last five {result.accuracy.last(5):.2f}, newest {result.accuracy.newest:.2f}, strangers told with AUC {told:.2f}")
assert told > 0.9
