"""Code as a user writes it, as text: edited between two runs, it is another experiment."""

from __future__ import annotations

from typing import Any

OWN = '''
import torch

from spinode.contracts.task_stream import Task
from spinode.training import Learner

RATE = 0.1


def double(x):
    """Twice x."""
    return x * 2


class OwnNetwork(torch.nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 2, generator=generator))

    def forward(self, inputs):
        return inputs @ self.weight


def amplifier(gain):
    return lambda x: gain * x


def scaled(x, factor=1.0):
    return factor * x


class OwnLearner(Learner):
    rule = "own"

    def __init__(self, gain, noise):
        super().__init__(seed=0)
        self.net = OwnNetwork(self.generator)
        self.amplify = amplifier(gain)
        self.noise = noise

    def learn(self, inputs, labels, batch_size):
        loss = torch.nn.functional.cross_entropy(torch.tanh(double(self.net(self.amplify(scaled(inputs))))), labels)
        (gradient,) = torch.autograd.grad(loss, self.net.weight)
        with torch.no_grad():
            self.net.weight -= RATE * gradient
        return loss.detach()

    def log_probabilities(self, inputs, *, generator, task, view):
        return self.net(inputs).log_softmax(-1)[None]


class OwnStream:
    name, classes, boundaries = "own", 2, True

    def __init__(self, inner, shift):
        self.inner, self.shift = inner, shift
        self.shape = inner.shape

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        task = self.inner[index]
        return Task(task.name, task.inputs + self.shift, task.labels, task.test_inputs, task.test_labels)

    def test(self, index):
        return self.inner.test(index)


class OwnField(torch.nn.Module):
    def __init__(self, state, drive, rates, generator, gain):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(state + drive, rates, generator=generator, dtype=torch.float64))
        self.gain = gain

    def forward(self, state, drive):
        x = double(torch.cat([state, drive], -1))
        return self.gain * torch.tanh(x @ self.weight)


def own_field(gain):
    return lambda state, drive, rates, generator: OwnField(state, drive, rates, generator, gain)
'''


def own(code: str) -> dict[str, Any]:
    """Return what a module with this code defines."""
    namespace: dict[str, Any] = {"__name__": "own"}
    exec(compile(code, "own.py", "exec"), namespace)
    return namespace
