"""Parts of benchmarks/reservoir.py about noisy oscillators: their surrogate, spoken digits, networks, capacities."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from spinode.datasets import (
    SpinTorqueOscillator,
    capacity,
    delayed,
    digit_inputs,
    narma,
    parity,
    random_bits,
    sine_square,
    spoken_digits,
)
from spinode.surrogates import (
    EchoState,
    Feedback,
    LinearNodes,
    OscillatorNetwork,
    Reservoir,
    RidgeStatistics,
    StochasticSurrogate,
    TanhNodes,
    fit_stochastic,
)

#: Samples of 100 ns, as with the oscilloscope of the paper; 5 ms are fitted. The noise is about 1 % of the amplitude.
OSCILLATOR = SpinTorqueOscillator(interval=100e-9, substeps=10, noise=2e-5)
MEAN, SWING = 7e-3, 1.5e-3  # [A]
_FITTED = 50_000


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fitted(seed: int) -> tuple[StochasticSurrogate, float]:
    """Return the neural SDE fitted to 5 ms under random currents held for 200 ns, and the seconds of the fit."""
    levels = torch.rand(_FITTED // 2, generator=generator(seed), dtype=torch.float64).repeat_interleave(2)
    trace = OSCILLATOR.trace(MEAN + SWING * (2 * levels - 1), generator=generator(1000 + seed))
    start = time.process_time()
    surrogate = fit_stochastic(trace, seed=seed)
    return surrogate, time.process_time() - start


def oscillator(seed: int) -> Iterator[dict[str, Any]]:
    """Compare mean response, distribution, deviation and spectrum of the noise on a drive that the fit has not seen."""
    surrogate, seconds = fitted(seed)
    levels = torch.rand(150, generator=generator(500 + seed), dtype=torch.float64).repeat_interleave(2)
    drive = (MEAN + SWING * (2 * levels - 1))[None, :, None].expand(2000, -1, 1)
    true, simulated = (_responses(each, drive, 7 + seed)[:, 20:] for each in (OSCILLATOR, surrogate))
    repeated = _responses(OSCILLATOR, drive, 77 + seed)[:, 20:]
    constant = torch.full((400, 1224, 1), MEAN, dtype=torch.float64)
    power = [_spectrum(_responses(each, constant, 9 + seed)[:, 200:]) for each in (OSCILLATOR, surrogate, OSCILLATOR)]
    widths = [_linewidth(each) for each in power[:2]]
    p_values = [float(stats.ks_2samp(true[:, k].numpy(), simulated[:, k].numpy()).pvalue) for k in range(0, true.shape[1], 20)]
    yield {
        "part": "oscillator",
        "seed": seed,
        "order": surrogate.order,
        "fit_seconds": seconds,
        "mean_nrmse": float((simulated.mean(0) - true.mean(0)).square().mean().sqrt() / true.mean(0).std()),
        "mean_nrmse of another 2000 of the device": float(
            (repeated.mean(0) - true.mean(0)).square().mean().sqrt() / true.mean(0).std()
        ),
        "deviation_error": float((simulated.std(0) / true.std(0) - 1).abs().mean()),
        "ks_below_0.01": sum(p < 0.01 for p in p_values) / len(p_values),
        "spectrum_error": float((power[1] / power[0] - 1).abs().mean()),
        "linewidth_ratio": widths[1] / widths[0],
    }


def _responses(device: Any, drive: Tensor, seed: int) -> Tensor:
    return device.step_block(device.initial_state(drive[:, 0]), drive, generator=generator(seed)).output[..., 0]


def _spectrum(values: Tensor) -> Tensor:
    """Return the power in 32 bands, shape (32,)."""
    power = torch.fft.rfft(values - values.mean(1, keepdim=True)).abs().square().mean(0)[1:]
    return power.reshape(32, -1).mean(1)


def _linewidth(power: Tensor) -> float:
    """Return the band, interpolated, in which the spectrum falls below half of its first value."""
    half = power[0] / 2
    k = int((power < half).nonzero()[0])
    share = float((power[k - 1] - half) / (power[k - 1] - power[k]))
    return k - 1 + share


# --- spoken digits ----------------------------------------------------------------------------------------------------


def digits(seed: int, folder: Path, nodes: int = 400) -> Iterator[dict[str, Any]]:
    """Classify digits by the number of training utterances: 6 speakers x 10 digits x 10 utterances."""
    recordings = spoken_digits(folder).utterances(10)
    surrogate, _ = fitted(seed)
    for transform in ("linear", "spectrogram", "cochlear"):
        x = digit_inputs(recordings, transform)
        settings = {"nodes": nodes, "mask": "binary", "inputs": x.shape[-1], "offset": MEAN, "output": "V", "seed": seed}
        settings["scale"] = SWING / float(Reservoir(OSCILLATOR, **settings).drive_range(x)[1] - MEAN)
        reservoirs = Reservoir(OSCILLATOR, **settings), Reservoir(surrogate, **settings)
        noisy = {
            f"{name}, noise {k}": reservoir(x, generator=generator(20 + 100 * k + 10 * index + seed))
            for index, (name, reservoir) in enumerate(zip(("oscillator", "surrogate"), reservoirs, strict=True))
            for k in range(3)
        }
        states = {
            "linear": LinearNodes(x.shape[-1])(x),
            "tanh": TanhNodes(nodes, x.shape[-1], seed=seed)(x),
            "echo state": EchoState(nodes, x.shape[-1], seed=seed)(x),
            **noisy,
            "oscillator, mean response": reservoirs[0](x),
            "surrogate, mean response": reservoirs[1](x),
        }
        for name, each in states.items():
            yield {
                "part": "digits",
                "seed": seed,
                "transform": transform,
                "states": name,
                "recognition by training utterances": recognition(each, recordings.label, recordings.utterance),
                "outside": reservoirs[1].outside if "surrogate" in name else 0.0,
            }


def recognition(states: Tensor, label: Tensor, utterance: Tensor) -> dict[str, float]:
    """Return the share recognised for 1 .. 9 training utterances of each digit and speaker, mean over at most 45 choices.

    A ridge readout is applied to each frame, with target 1 for the digit; the predicted digit of a recording has the largest
    sum over its frames.
    """
    targets = torch.nn.functional.one_hot(label, 10).to(torch.float64)
    sums = []
    for number in range(10):
        selected = (utterance == number).nonzero().squeeze(-1)
        statistics = RidgeStatistics(states.shape[-1], 10, folds=1)
        statistics.add(states[selected].flatten(0, 1), targets[selected].repeat_interleave(states.shape[1], 0))
        sums.append(statistics)
    shares = {}
    for count in range(1, 10):
        choices = list(itertools.combinations(range(10), count))
        picked = torch.randperm(len(choices), generator=generator(count))[:45].tolist()
        scores = []
        for chosen in (choices[k] for k in picked):
            total = RidgeStatistics(states.shape[-1], 10, folds=1)
            total.products = sum(sums[k].products for k in chosen)
            total.samples = sum(sums[k].samples for k in chosen)
            readout = total.solve(1e-6)
            test = torch.tensor([k not in chosen for k in utterance.tolist()])
            predicted = readout(states[test]).sum(1).argmax(1)
            scores.append(float((predicted == label[test]).double().mean()))
        shares[str(count)] = sum(scores) / len(scores)
    return shares


# --- networks ---------------------------------------------------------------------------------------------------------


def network(seed: int, folder: Path, size: int = 24, epochs: int = 60) -> Iterator[dict[str, Any]]:
    """Train coupled surrogates on spoken digits with Adam, then run the same weights on the oscillator.

    Utterances 0 .. 6 are for training, 7 .. 9 for the test.
    """
    recordings = spoken_digits(folder).utterances(10)
    x, label = digit_inputs(recordings, "cochlear"), recordings.label
    x = (x - x.mean((0, 1))) / x.std((0, 1))
    train, test = recordings.utterance < 7, recordings.utterance >= 7
    surrogate, _ = fitted(seed)
    centre = float(OSCILLATOR.scale * OSCILLATOR.power(MEAN).sqrt())
    for trained in ("head", "head and input", "all"):
        torch.manual_seed(seed)
        limits = (MEAN - SWING, MEAN + SWING)
        settings = {"bias": MEAN, "spread": 2e-4, "input_scale": 1e-3, "coupling_scale": 0.05, "rest": centre, "limits": limits}
        net = OscillatorNetwork(surrogate, size, x.shape[-1], output="V", hold=2, seed=seed, **settings)
        head = torch.nn.Linear(size, 10, dtype=torch.float64)
        groups = [{"params": head.parameters(), "lr": 0.02}]
        if trained != "head":
            groups.append({"params": [net.input_weight], "lr": 3e-5})
        if trained == "all":
            groups += [{"params": [net.coupling], "lr": 3e-3}, {"params": [net.bias], "lr": 1e-5}]
        optimizer = torch.optim.Adam(groups)

        def logits(inputs: Tensor, net: OscillatorNetwork = net, head: torch.nn.Linear = head) -> Tensor:
            return head(1000 * (net(inputs) - centre)).sum(-2)

        for epoch in range(epochs):
            order = torch.randperm(int(train.sum()), generator=generator(1000 * seed + epoch))
            for part in order.split(105):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(logits(x[train][part]), label[train][part]).backward()
                optimizer.step()
        with torch.no_grad():
            score = float((logits(x[test]).argmax(1) == label[test]).double().mean())
            outside = net.outside
            physics = OscillatorNetwork(OSCILLATOR, size, x.shape[-1], output="V", hold=2, seed=seed, **settings)
            for name in ("input_weight", "coupling", "bias"):
                getattr(physics, name).copy_(getattr(net, name))
            physics_score = float((logits(x[test], physics).argmax(1) == label[test]).double().mean())
        yield {
            "part": "network",
            "seed": seed,
            "trained": trained,
            "recognition": score,
            "recognition with the oscillator in its place": physics_score,
            "outside": outside,
        }


# --- capacities -------------------------------------------------------------------------------------------------------


def capacities(seed: int, nodes: int = 24) -> Iterator[dict[str, Any]]:
    """Score memory and parity of bits, NARMA10, and sine against square, without and with delayed feedback."""
    low_noise = SpinTorqueOscillator(interval=100e-9, substeps=2, noise=1e-9)
    levels = torch.rand(10_000, generator=generator(seed), dtype=torch.float64).repeat_interleave(2)
    surrogate = fit_stochastic(low_noise.trace(2.5e-3 + 10e-3 * levels, generator=generator(seed)), seed=seed)
    for device, gain in itertools.product(("oscillator", "surrogate"), (0.0, 1.0, 2.0)):
        feedback = (
            Feedback(nodes + 1, gain * 5e-3 / low_noise.scale, float(low_noise.scale * low_noise.power(7.5e-3).sqrt()))
            if gain
            else None
        )
        reservoir = Reservoir(
            low_noise if device == "oscillator" else surrogate,
            nodes,
            "binary",
            scale=2e-3,
            offset=7.5e-3,
            output="V",
            feedback=feedback,
            seed=seed,
        )
        bits = random_bits(3000, generator=generator(100 + seed))
        states = reservoir(2 * bits - 1)
        outside = reservoir.outside
        memory, parity_score = (_score(states, target(bits, 15)) for target in (delayed, parity))
        u, y = narma(3000, generator=generator(200 + seed))
        narma_error = _error(reservoir(4 * u - 1), y)
        wave, kind = sine_square(375, generator=generator(300 + seed))
        predicted = _predicted(reservoir(wave), kind)
        yield {
            "part": "capacities",
            "seed": seed,
            "device": device,
            "feedback gain": gain,
            "memory": memory,
            "parity": parity_score,
            "narma10_nmse": narma_error,
            "sine_square": float(((predicted > 0.5) == (kind[len(kind) * 2 // 3 :] > 0.5)).double().mean()),
            "outside": outside,
        }


def _predicted(states: Tensor, target: Tensor) -> Tensor:
    """Return predictions of the last third, by a readout trained on the first two thirds without the first tenth of these."""
    start, end = len(states) // 15, len(states) * 2 // 3
    statistics = RidgeStatistics(states.shape[-1], 1 if target.dim() == 1 else target.shape[-1])
    statistics.add(states[start:end], target[start:end])
    predicted = statistics.solve()(states[end:])
    return predicted[:, 0] if target.dim() == 1 else predicted


def _score(states: Tensor, target: Tensor) -> float:
    end = len(states) * 2 // 3
    return float(capacity(_predicted(states, target), target[end:]).sum())


def _error(states: Tensor, target: Tensor) -> float:
    end = len(states) * 2 // 3
    return float((_predicted(states, target) - target[end:]).square().mean() / target[end:].var())
