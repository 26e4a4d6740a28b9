"""Parts of benchmarks/reservoir.py about noisy oscillators: their surrogate, spoken digits, capacities."""

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

#: Samples of 100 ns, as the oscilloscope of the paper; 5 ms of it are fitted. Its noise is about 1 % of the amplitude.
OSCILLATOR = SpinTorqueOscillator(interval=100e-9, substeps=10, noise=2e-5)
MEAN, SWING = 7e-3, 1.5e-3  # [A]
_FITTED = 50_000


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fitted(seed: int) -> tuple[StochasticSurrogate, float]:
    """The neural SDE of 5 ms under random currents held for 200 ns, and the seconds its fit took."""
    levels = torch.rand(_FITTED // 2, generator=generator(seed), dtype=torch.float64).repeat_interleave(2)
    trace = OSCILLATOR.trace(MEAN + SWING * (2 * levels - 1), generator=generator(1000 + seed))
    begun = time.process_time()
    made = fit_stochastic(trace, seed=seed)
    return made, time.process_time() - begun


def oscillator(seed: int) -> Iterator[dict[str, Any]]:
    """Mean response, distribution, deviation and spectrum of the noise, on a drive that the fit has not seen."""
    made, seconds = fitted(seed)
    levels = torch.rand(150, generator=generator(500 + seed), dtype=torch.float64).repeat_interleave(2)
    drive = (MEAN + SWING * (2 * levels - 1))[None, :, None].expand(2000, -1, 1)
    true, mine = (_answers(each, drive, 7 + seed)[:, 20:] for each in (OSCILLATOR, made))
    again = _answers(OSCILLATOR, drive, 77 + seed)[:, 20:]
    rest = torch.full((400, 1224, 1), MEAN, dtype=torch.float64)
    power = [_spectrum(_answers(each, rest, 9 + seed)[:, 200:]) for each in (OSCILLATOR, made, OSCILLATOR)]
    width = [_linewidth(each) for each in power[:2]]
    distances = [float(stats.ks_2samp(true[:, k].numpy(), mine[:, k].numpy()).pvalue) for k in range(0, true.shape[1], 20)]
    yield {
        "part": "oscillator",
        "seed": seed,
        "order": made.order,
        "fit_seconds": seconds,
        "mean_nrmse": float((mine.mean(0) - true.mean(0)).square().mean().sqrt() / true.mean(0).std()),
        "mean_nrmse of another 2000 of the device": float(
            (again.mean(0) - true.mean(0)).square().mean().sqrt() / true.mean(0).std()
        ),
        "deviation_error": float((mine.std(0) / true.std(0) - 1).abs().mean()),
        "ks_below_0.01": sum(p < 0.01 for p in distances) / len(distances),
        "spectrum_error": float((power[1] / power[0] - 1).abs().mean()),
        "linewidth_ratio": width[1] / width[0],
    }


def _answers(device: Any, drive: Tensor, seed: int) -> Tensor:
    return device.step_block(device.initial_state(drive[:, 0]), drive, generator=generator(seed)).output[..., 0]


def _spectrum(values: Tensor) -> Tensor:
    """Power in 32 bands, shape (32,)."""
    power = torch.fft.rfft(values - values.mean(1, keepdim=True)).abs().square().mean(0)[1:]
    return power.reshape(32, -1).mean(1)


def _linewidth(power: Tensor) -> float:
    """Half width of the spectrum of the amplitude, in bands: where it falls below half of its beginning."""
    half = power[0] / 2
    k = int((power < half).nonzero()[0])
    share = float((power[k - 1] - half) / (power[k - 1] - power[k]))
    return k - 1 + share


# --- spoken digits ----------------------------------------------------------------------------------------------------


def digits(seed: int, folder: Path, nodes: int = 400) -> Iterator[dict[str, Any]]:
    """Recognition against the number of training utterances, 6 speakers x 10 digits x 10 utterances, all choices of
    utterances.
    """
    recordings = spoken_digits(folder).utterances(10)
    made, _ = fitted(seed)
    for transform in ("linear", "spectrogram", "cochlear"):
        x = digit_inputs(recordings, transform)
        settings = {"nodes": nodes, "mask": "binary", "inputs": x.shape[-1], "offset": MEAN, "output": "V", "seed": seed}
        settings["scale"] = SWING / float(Reservoir(OSCILLATOR, **settings).drive_range(x)[1] - MEAN)
        quiet = Reservoir(OSCILLATOR, **settings), Reservoir(made, **settings)
        noisy = {
            f"{name}, noise {k}": made(x, generator=generator(20 + 100 * k + 10 * at + seed))
            for at, (name, made) in enumerate(zip(("oscillator", "surrogate"), quiet, strict=True))
            for k in range(3)
        }
        states = {
            "linear": LinearNodes(x.shape[-1])(x),
            "tanh": TanhNodes(nodes, x.shape[-1], seed=seed)(x),
            "echo state": EchoState(nodes, x.shape[-1], seed=seed)(x),
            **noisy,
            "oscillator, mean response": quiet[0](x),
            "surrogate, mean response": quiet[1](x),
        }
        for name, each in states.items():
            yield {
                "part": "digits",
                "seed": seed,
                "transform": transform,
                "states": name,
                "recognition by training utterances": recognition(each, recordings.label, recordings.utterance),
                "outside": quiet[1].outside if "surrogate" in name else 0.0,
            }


def recognition(states: Tensor, label: Tensor, utterance: Tensor) -> dict[str, float]:
    """Share recognised for 1 .. 9 training utterances of each digit and speaker, mean over at most 45 choices of them.

    A ridge read-out for each frame, target 1 for the digit; the digit of a recording is that with the largest sum over its
    frames.
    """
    wanted = torch.nn.functional.one_hot(label, 10).to(torch.float64)
    sums = []
    for number in range(10):
        at = (utterance == number).nonzero().squeeze(-1)
        part = RidgeStatistics(states.shape[-1], 10, folds=1)
        part.add(states[at].flatten(0, 1), wanted[at].repeat_interleave(states.shape[1], 0))
        sums.append(part)
    found = {}
    for count in range(1, 10):
        choices = list(itertools.combinations(range(10), count))
        picked = torch.randperm(len(choices), generator=generator(count))[:45].tolist()
        shares = []
        for chosen in (choices[k] for k in picked):
            total = RidgeStatistics(states.shape[-1], 10, folds=1)
            total.products = sum(sums[k].products for k in chosen)
            total.samples = sum(sums[k].samples for k in chosen)
            readout = total.solve(1e-6)
            test = torch.tensor([k not in chosen for k in utterance.tolist()])
            told = readout(states[test]).sum(1).argmax(1)
            shares.append(float((told == label[test]).double().mean()))
        found[str(count)] = sum(shares) / len(shares)
    return found


# --- networks ---------------------------------------------------------------------------------------------------------


def network(seed: int, folder: Path, size: int = 24, epochs: int = 60) -> Iterator[dict[str, Any]]:
    """Spoken digits by coupled surrogates, trained through with Adam: utterances 0 .. 6 train, 7 .. 9 test; then on the
    oscillator itself.
    """
    recordings = spoken_digits(folder).utterances(10)
    x, label = digit_inputs(recordings, "cochlear"), recordings.label
    x = (x - x.mean((0, 1))) / x.std((0, 1))
    train, test = recordings.utterance < 7, recordings.utterance >= 7
    made, _ = fitted(seed)
    centre = float(OSCILLATOR.scale * OSCILLATOR.power(MEAN).sqrt())
    for trained in ("head", "head and input", "all"):
        torch.manual_seed(seed)
        limits = (MEAN - SWING, MEAN + SWING)
        settings = {"bias": MEAN, "spread": 2e-4, "input_scale": 1e-3, "coupling_scale": 0.05, "rest": centre, "limits": limits}
        net = OscillatorNetwork(made, size, x.shape[-1], output="V", hold=2, seed=seed, **settings)
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
            device = float((logits(x[test], physics).argmax(1) == label[test]).double().mean())
        yield {
            "part": "network",
            "seed": seed,
            "trained": trained,
            "recognition": score,
            "recognition with the oscillator in its place": device,
            "outside": outside,
        }


# --- capacities -------------------------------------------------------------------------------------------------------


def capacities(seed: int, nodes: int = 24) -> Iterator[dict[str, Any]]:
    """Memory and parity of bits, NARMA10, sine against square, of one oscillator and its surrogate, alone and fed back."""
    quiet = SpinTorqueOscillator(interval=100e-9, substeps=2, noise=1e-9)
    levels = torch.rand(10_000, generator=generator(seed), dtype=torch.float64).repeat_interleave(2)
    made = fit_stochastic(quiet.trace(2.5e-3 + 10e-3 * levels, generator=generator(seed)), seed=seed)
    for device, gain in itertools.product(("oscillator", "surrogate"), (0.0, 1.0, 2.0)):
        feedback = (
            Feedback(nodes + 1, gain * 5e-3 / quiet.scale, float(quiet.scale * quiet.power(7.5e-3).sqrt())) if gain else None
        )
        reservoir = Reservoir(
            quiet if device == "oscillator" else made,
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
        memory, odd = (_score(states, made_targets(bits, 15)) for made_targets in (delayed, parity))
        u, y = narma(3000, generator=generator(200 + seed))
        series = _error(reservoir(4 * u - 1), y)
        wave, kind = sine_square(375, generator=generator(300 + seed))
        told = _predicted(reservoir(wave), kind)
        yield {
            "part": "capacities",
            "seed": seed,
            "device": device,
            "feedback gain": gain,
            "memory": memory,
            "parity": odd,
            "narma10_nmse": series,
            "sine_square": float(((told > 0.5) == (kind[len(kind) * 2 // 3 :] > 0.5)).double().mean()),
            "outside": outside,
        }


def _predicted(states: Tensor, target: Tensor) -> Tensor:
    """Predictions of the last third, by a read-out of the second sixth to the second third."""
    initial_state, end = len(states) // 15, len(states) * 2 // 3
    sums = RidgeStatistics(states.shape[-1], 1 if target.dim() == 1 else target.shape[-1])
    sums.add(states[initial_state:end], target[initial_state:end])
    found = sums.solve()(states[end:])
    return found[:, 0] if target.dim() == 1 else found


def _score(states: Tensor, target: Tensor) -> float:
    end = len(states) * 2 // 3
    return float(capacity(_predicted(states, target), target[end:]).sum())


def _error(states: Tensor, target: Tensor) -> float:
    end = len(states) * 2 // 3
    return float((_predicted(states, target) - target[end:]).square().mean() / target[end:].var())
