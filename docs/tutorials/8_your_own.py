"""
8. A device, a reader or a learning rule of your own, each in one file
======================================================================

Whatever you add is found by its name, and tested by the same tests as what the package ships.
"""

# %%
# A device
# --------
# A conductance that saturates: each SET pulse covers a tenth of the way to the upper end, each RESET pulse to the lower end.
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from spinode import Pulses
from spinode.contracts.synapse import SynapseModel
from spinode.contracts.synapse_registry import register_synapse
from spinode.datasets import PermutedTasks, Table, made_digits, read_trace, register_reader
from spinode.testing import SynapseContract
from spinode.training import Learner, train


@register_synapse("saturating", summary="a tenth of the remaining way at each pulse")
@dataclass(eq=False)
class Saturating(SynapseModel):
    """g after n pulses: the remaining way to the end is multiplied by 0.9 ** abs(n)."""

    low: float = 0.0
    high: float = 1.0
    unit: str = ""

    def _initial(self, shape, generator, dtype):
        return {"g": torch.full(shape, 0.5, dtype=dtype)}

    def _program(self, state, pulses, generator):
        end = (pulses.count > 0).to(state["g"])
        return {"g": end + (state["g"] - end) * 0.9 ** pulses.count.abs()}

    def _read(self, state, generator):
        return state["g"]


# %%
# The tests that every device of the package passes:
class TestSaturating(SynapseContract):
    """The contract, on this device; pytest finds it by its name."""

    def make(self):
        """Return the device."""
        return Saturating()


TestSaturating().test_programming_does_not_change_the_given_state()

# %%
# A reader
# --------
# For files that begin with the word ACME: it recognises them by their content, and returns names, columns and units.


def read_acme(path, part=None, progress=None):
    """Return the columns of a file."""
    values = np.array(path.read_text().split()[1:], dtype=float)
    return Table(("V",), (values,), ("mV",))


register_reader("acme", lambda head: head.startswith(b"ACME"), read_acme)
Path("run.csv").write_text("ACME 1 2 3 5 8")
print(read_trace("run.csv", time=1e-9).output["V"])

# %%
# A learning rule
# ---------------
# A perceptron with Hebb's idea: the weights of the right class move towards the input, those of the answer away from it.


class Perceptron(Learner):
    """One layer, corrected where it is wrong."""

    rule = "perceptron"

    def __init__(self, features, classes, *, rate=0.01, seed=0):
        super().__init__(seed=seed)
        self.rate = rate
        self.register_buffer("weight", torch.zeros(classes, features))

    def learn(self, inputs, labels, batch_size):
        """Learn from one batch, and return the mean loss."""
        scores = inputs.flatten(1) @ self.weight.T
        wanted = torch.nn.functional.one_hot(labels, len(self.weight)).float()
        given = torch.nn.functional.one_hot(scores.argmax(1), len(self.weight)).float()
        self.weight += self.rate * (wanted - given).T @ inputs.flatten(1)
        return torch.nn.functional.cross_entropy(scores, labels)

    def log_probabilities(self, inputs, *, generator, task, view):
        """Return the responses to test inputs."""
        return (inputs.flatten(1) @ self.weight.T).log_softmax(1)[None]


stream = PermutedTasks(made_digits(train=500, test=200), tasks=2, seed=0)
result = train(Perceptron(784, 10), stream, epochs=3)
print(f"first task {result.accuracy.first:.2f} at the end, newest {result.accuracy.newest:.2f}")

# %%
# A file to keep: the figures of the run. The picture: the device.
result.save("runs/perceptron")
device = Saturating()
state, reads = device.initial((1,)), []
for count in [1.0] * 20 + [-1.0] * 20:
    state = device.program(state, Pulses(torch.tensor([count])))
    reads.append(float(device.read(state)))
figure = Figure(figsize=(7, 3), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(reads, ".-", color="#0072b2")
left.set_xlabel("pulse")
left.set_ylabel("conductance")
right.bar(["task 1", "task 2"], result.accuracy.values[-1], color="#009e73")
right.set_ylabel("accuracy at the end")
figure.savefig("own.png", dpi=100)
