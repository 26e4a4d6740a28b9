"""What the page of `spinode view` shows: a recording, the model beside it, and the response to an edited drive."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConfigError, DomainWarning
from ...traces.trace import Trace
from ...validation import is_number

if TYPE_CHECKING:
    from ...surrogates.neural_ode.surrogate import Surrogate

#: Most samples on the page: the response to an edit must appear at once.
MAX_SAMPLES = 2000
#: Samples of the drive where there is no recording.
MADE_SAMPLES = 400


@dataclass(frozen=True)
class Session:
    """A recording on the grid of a model, or one of them alone.

    Attributes:
        title: Heading of the page.
        trace: Recorded, or made where there is a model only.
        surrogate: The model; None for a recording only.
        verdict: The headline of the report; "" without a model or a recording.
        recorded: False if the drive was made.
    """

    title: str
    trace: Trace
    surrogate: Surrogate | None = None
    verdict: str = ""
    recorded: bool = True

    def content(self) -> dict[str, Any]:
        """Return everything that the page shows, as plain values for JSON."""
        trace = self.trace
        units = {name: trace.unit(name) for name in trace.channels}
        if self.surrogate is not None:
            units |= {name: self.surrogate.ports.units.get(name, "") for name in self.surrogate.ports.output}
        return {
            "title": self.title,
            "verdict": self.verdict,
            "time": _rounded(trace.time),
            "timeUnit": trace.unit("time"),
            "drive": {name: _rounded(values) for name, values in trace.drive.items()},
            "recorded": {name: _rounded(values) for name, values in trace.output.items()} if self.recorded else {},
            "units": units,
            "model": None if self.surrogate is None else self.respond(trace.drive),
        }

    def respond(self, drive: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response of the model to a drive.

        Args:
            drive: Samples of every drive, SI units, as many as `trace` has.

        Returns:
            "output": samples by name; "outside": the share of steps outside the domain of validity.

        Raises:
            ConfigError: no model, other names, another number of samples, or values that are not finite numbers.
        """
        if self.surrogate is None:
            raise ConfigError("this page shows a recording without a model; pass a model to see a response.")
        if not isinstance(drive, Mapping) or set(drive) != set(self.trace.drive):
            raise ConfigError(f"expected samples of the drives {', '.join(self.trace.drive)}.")
        samples = {name: _checked(name, drive[name], len(self.trace)) for name in self.trace.drive}
        edited = replace(self.trace, drive=samples, output=self.trace.output if self.recorded else {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DomainWarning)  # the page shows the share
            run = self.surrogate.run(edited, from_rest=not self.recorded)
        output = run.output.numpy()
        columns = {name: _rounded(output[:, k]) for k, name in enumerate(self.surrogate.ports.output)}
        return {"output": columns, "outside": float(np.mean(np.asarray(run.outside)))}


def _checked(name: str, values: Any, count: int) -> np.ndarray:
    plain = isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, str)
    if not plain or len(values) != count or not all(is_number(value) and np.isfinite(value) for value in values):
        raise ConfigError(f"drive {name} must have {count} finite numbers.")
    return np.asarray(values, dtype=np.float64)


def _rounded(values: Any) -> list[float | None]:
    """Return samples of seven digits for JSON; None where one is missing."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in np.asarray(values)]


def recording_session(trace: Trace, title: str) -> Session:
    """Return the page of a recording without a model, its first samples."""
    return Session(title, _first(trace))


def compared_session(surrogate: Surrogate, trace: Trace, title: str, *, drive: Any = None, output: Any = None) -> Session:
    """Return the page of a recording and a model beside it, with the verdict on the whole recording."""
    from ...surrogates.neural_ode.evaluation.assessment import assess
    from ...surrogates.neural_ode.evaluation.evaluate import evaluate

    evaluation = evaluate(surrogate, trace, drive=drive, output=output)
    grid = evaluation.trace if evaluation.grid is None else evaluation.grid
    return Session(title, _first(grid), surrogate, assess(surrogate, evaluation).headline)


def model_session(surrogate: Surrogate, title: str) -> Session:
    """Return the page of a model alone, under steps of its drives between one deviation below and above their means.

    Raises:
        ConfigError: a model with parameters or without drives.
    """
    ports = surrogate.ports
    if ports.parameters or not ports.drive:
        needed = ", ".join(ports.parameters) or "a drive"
        raise ConfigError(f"this model needs {needed}; pass a recording too: spinode view MODEL TABLE.")
    time = surrogate.interval * np.arange(MADE_SAMPLES, dtype=np.float64)
    mean, deviation = surrogate.scales.drive_mean.tolist(), surrogate.scales.drive_scale.tolist()
    steps = np.repeat([0.0, 1.0, 0.0, -1.0], MADE_SAMPLES // 4)
    drives = {name: mean[k] + deviation[k] * steps for k, name in enumerate(ports.drive)}
    trace = Trace(time, drives, {}, units={name: ports.units.get(name, "") for name in ports.drive})
    return Session(title, trace, surrogate, recorded=False)


def _first(trace: Trace) -> Trace:
    if len(trace) <= MAX_SAMPLES:
        return trace
    return trace.between(None, float((trace.time[MAX_SAMPLES - 1] + trace.time[MAX_SAMPLES]) / 2))
