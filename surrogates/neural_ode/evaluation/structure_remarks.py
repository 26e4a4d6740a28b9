"""Remarks on the structure of a model, from the search that chose it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ....reporting.remarks import BAD, CARE, GOOD, NOTE, Remark
from ..fit_record import runner_up
from ..surrogate import Surrogate
from .evaluate import Evaluation
from .noise_correction import NOISE_ALONE, without_noise
from .remedies import LOOK_AT_DRIVE, MORE_DATA, better_fit
from .scores import noise_share_of_fit, validation_nrmse, worst_nrmse
from .short_runs import share_of_change
from .wording import ROUGH, percent, score

#: Error of short free runs over the change of the output during them, above which the state does not determine the next
#: samples; a sufficient state is at 0.01 .. 0.1.
MAX_SHORT_RUN_ERROR = 0.3

#: Error beyond the noise above which a fit predicts hardly anything: its validation error, the mean value alone has 1.
POOR = 0.7

#: Error of a run with the drive at its mean over that with the drive as it was, below which the model makes no use of it.
MIN_DRIVE_EFFECT = 1.05

#: Validation error over that of another structure above which the chosen one is not the best.
CLEARLY_WORSE = 1.1


def assess_structure(surrogate: Surrogate) -> Remark:
    """Return a remark on the structure from the fit alone, when no recording has been evaluated yet.

    Example:
        >>> from spinode.surrogates.testing import resonator
        >>> surrogate = resonator()
        >>> surrogate.record["structure"] = {"embedding": "derivative", "order": 2, "hidden": [8], "ridge": 1e-6}
        >>> tried = {"structure": surrogate.record["structure"], "name": "derivative order 2, hidden 8", "rung": 2}
        >>> surrogate.record["search"] = [tried | {"error": 0.02, "diverged": False, "seconds": 1.0}]
        >>> surrogate.record["linear_validation"] = 0.5
        >>> print(assess_structure(surrogate).text)
        The search chose derivative order 2 of 1 structure, with a validation NRMSE of 0.02; the best linear model reached 0.5.
    """
    record = surrogate.record
    entries = _finished(record.get("search") or ())
    own = _own_error(surrogate, entries)
    if own is None:
        return Remark(NOTE, f"The structure ({_own_name(surrogate)}) was not searched for.")
    names = len({str(entry["name"]) for entry in record["search"]})
    text = f"The search chose {_own_name(surrogate)} of {names} structure{'s' if names > 1 else ''}"
    text += f", with a validation NRMSE of {score(own)}"
    second = runner_up(record["search"], *_own_key(surrogate))
    if second is not None:
        text += f"; the best other one, {second[0]}, reached {score(second[1])}"
    linear = record.get("linear_validation")
    if linear is not None and not is_linear(surrogate):
        text += f"; the best linear model reached {score(float(linear))}"
    lowest = min((float(error) for error in record.get("validation") or () if error is not None), default=own)
    if second is not None and own > second[1] and lowest < own and record.get("choice"):
        text += f". Its restart with {score(lowest)} was not kept, for this reason: {record['choice']}"
    best = second is None or own <= CLEARLY_WORSE * second[1]
    return Remark(GOOD if best else NOTE, f"{text}.")


def structure_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Return remarks on the structure from the fit and from an evaluation."""
    error = relative_short_run_error(surrogate, evaluation)
    if state_suffices(surrogate) and error is not None and error > MAX_SHORT_RUN_ERROR and worst_nrmse(evaluation) > ROUGH:
        yield _insufficient_state(surrogate, error)
    else:
        yield assess_structure(surrogate)
    yield from fit_remarks(surrogate)


def state_suffices(surrogate: Surrogate) -> bool:
    """Return False if the fit alone shows that its state does not determine the next samples."""
    share, error = surrogate.record.get("short_run_share"), validation_nrmse(surrogate.record)
    if not isinstance(share, float) or error is None:
        return True
    return share <= MAX_SHORT_RUN_ERROR or without_noise(error, noise_share_of_fit(surrogate)) <= ROUGH


def _insufficient_state(surrogate: Surrogate, share: float) -> Remark:
    return Remark(
        CARE,
        f"Even on the fitted data, within a few samples, the error is {percent(share)} of the change of the output: the "
        f"state ({_own_name(surrogate)}) does not determine the next samples.",
        "its state does not determine the next samples",
        remedy=better_fit(surrogate.record),
    )


def fit_remarks(surrogate: Surrogate) -> Iterator[Remark]:
    """Report a model that is linear, that predicts hardly anything, whose state does not suffice, or that ignores its drive."""
    error, noise = validation_nrmse(surrogate.record), noise_share_of_fit(surrogate)
    # Where next to nothing is explained, the noise is no excuse: of a recording that is noise, it would be one for any model.
    poor = error is not None and (without_noise(error, noise) > POOR or error >= NOISE_ALONE)
    if poor and noise >= NOISE_ALONE:
        yield Remark(
            BAD,
            "The fitted recording cannot be distinguished from noise: there is nothing that a model could predict.",
            "the fitted recording contains nothing but noise",
            remedy=MORE_DATA,
        )
    elif poor and error is not None:
        yield Remark(
            BAD,
            f"The fit predicts hardly anything of the part that was kept from it: validation NRMSE {score(error)}, where the "
            "mean value alone has 1.",
            "it hardly predicts its own validation data",
            remedy=better_fit(surrogate.record),
        )
    if not state_suffices(surrogate):
        yield _insufficient_state(surrogate, float(surrogate.record["short_run_share"]))
    ratio = surrogate.record.get("drive_effect")
    if isinstance(ratio, float) and ratio < MIN_DRIVE_EFFECT:
        drives = ", ".join(surrogate.ports.drive)
        yield Remark(
            CARE,
            f"The model makes no use of the drive ({drives}): with a constant drive its run is as accurate. It says nothing "
            "about what a drive does.",
            "the model makes no use of the drive",
            remedy=better_fit(surrogate.record) if poor else LOOK_AT_DRIVE,
        )
    if is_linear(surrogate) and not poor:
        yield Remark(
            NOTE,
            "The saved model is linear: on the validation data no network was better, so that no nonlinearity of the device "
            "shows in the fitted recording.",
        )


def is_linear(surrogate: Surrogate) -> bool:
    """Return True if the search chose the linear model."""
    structure = surrogate.record.get("structure")
    return isinstance(structure, Mapping) and structure.get("hidden") in ([], ())


def relative_short_run_error(surrogate: Surrogate, evaluation: Evaluation) -> float | None:
    """Return the error of short free runs on the fitted data over the rms change of the output during them.

    The change is that of the fitted recordings; files of older versions do not know it, and that of the evaluated one counts.
    """
    known = surrogate.record.get("short_run_share")
    if isinstance(known, float):
        return known
    return share_of_change(surrogate, np.stack(list((evaluation.grid or evaluation.trace).output.values()), -1))


def expected_error(surrogate: Surrogate) -> float | None:
    """Return the validation NRMSE of the fit less the measurement noise of its recordings; None if none is stored.

    An error below a third of the noise is not known; it counts as a third of it.
    """
    validation, noise = validation_nrmse(surrogate.record), noise_share_of_fit(surrogate)
    return None if validation is None else max(without_noise(validation, noise), noise / 3)


def _finished(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the last result of each structure that did not diverge."""
    last = {str(entry["name"]): entry for entry in entries}
    return [entry for entry in last.values() if entry.get("error") is not None and not entry.get("diverged")]


def _own_error(surrogate: Surrogate, entries: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the validation error of the structure of a surrogate."""
    validation = validation_nrmse(surrogate.record)
    if validation is not None and entries:
        return validation
    own = [float(entry["error"]) for entry in entries if _key(entry["structure"]) == _own_key(surrogate)]
    return min(own, default=None)


def _key(structure: Mapping[str, Any]) -> tuple[str, int]:
    return str(structure["embedding"]), int(structure["order"])


def _own_key(surrogate: Surrogate) -> tuple[str, int]:
    return surrogate.embedding.kind, surrogate.embedding.order


def _own_name(surrogate: Surrogate) -> str:
    kind, order = _own_key(surrogate)
    return f"{'linear, ' if is_linear(surrogate) else ''}{kind} order {order}"
