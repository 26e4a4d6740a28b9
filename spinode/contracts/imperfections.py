"""The imperfections of a memory device, and the same device without some of them: one mechanism for every synapse.

A synapse names its own imperfections with one optional method, `imperfections()`, which returns for each the device without it:

    def imperfections(self):
        return {"telegraph noise": replace(self, rtn=False)}

or None for one of the general imperfections that is meaningless for it.
What follows from the contract alone needs no method, see `GENERAL`: noise is drawn only where a generator is passed, so a
device without cycle-to-cycle noise is one whose `program` receives none. A device of the user's own takes part as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..validation import one_of
from .reduced_synapse import D2D, DRIFT, GENERAL as GENERAL, SHAPE, ReducedSynapse, varying_parameters
from .relaxation import retains
from .step_profile import StepProfile
from .synapse import RESET, SET, Pulses, Synapse, check_synapse

#: Devices on which an imperfection is looked for.
_SAMPLES = 64
#: Smallest relative deviation of the steps that counts as nonlinear or asymmetric.
MIN_DEVIATION = 0.02


def imperfections(synapse: Synapse) -> tuple[str, ...]:
    """Return the names of a device's imperfections, those that `without` can remove.

    They are its own and those of `GENERAL` that it shows in a short simulation. Where more than one parameter differs from
    device to device, each is listed too, as "device-to-device NAME" after the entry of its state.

    Args:
        synapse: The device.

    Raises:
        ConfigError: not a synapse.

    Example:
        >>> from spinode.datasets import TiO2
        >>> imperfections(TiO2(read_noise=0.01))
        ('device-to-device', 'read noise', 'asymmetry', 'nonlinearity', 'range', 'number of pulses')
    """
    inner, off = _parts(check_synapse(synapse))
    own = own_imperfections(inner)
    names = [name for name, device in own.items() if device is not None]
    names += [name for name, shown in _shown(inner).items() if shown and name not in own]
    if D2D in names:
        parameters = varying_parameters(inner)
        names += [f"{D2D} {each}" for each in parameters] if len(parameters) > 1 else []
    return tuple(sorted((name for name in names if name not in off and not _covered(name, off)), key=_order))


def without(synapse: Synapse, *names: str) -> Synapse:
    """Return a device without some of its imperfections; the device itself is unchanged.

    Args:
        synapse: The device.
        *names: Names out of `imperfections(synapse)`; all of them make it ideal.

    Raises:
        ConfigError: a name that is not one of its imperfections.

    Example:
        >>> from spinode.datasets import WeakReset
        >>> device = without(WeakReset(), "device-to-device", "telegraph noise", "cycle-to-cycle")
        >>> state = device.initial((2,), generator=torch.Generator().manual_seed(0))
        >>> bool(device.read(state)[0] == device.read(state)[1])
        True
    """
    known = imperfections(synapse) if names else ()
    for name in names:
        one_of("the imperfection", name, known)
    inner, off = _parts(check_synapse(synapse))
    general = set(off)
    for name in names:
        own = own_imperfections(inner)
        if name in own:
            profile = StepProfile.of(inner)
            inner = own[name]
            if name not in SHAPE:  # the mean response is the same
                profile.share(inner)
        else:
            general.add(name)
    return ReducedSynapse(inner, general) if general else inner


def own_imperfections(synapse: Any) -> Mapping[str, Any]:
    """Return what a device's own method `imperfections` returns: the device without each, or None."""
    method = getattr(synapse, "imperfections", None)
    return {} if method is None else method()


def _parts(synapse: Synapse) -> tuple[Synapse, frozenset[str]]:
    """Return the device itself, and the general imperfections that were removed from it."""
    return (synapse.inner, synapse.off) if isinstance(synapse, ReducedSynapse) else (synapse, frozenset())


def _covered(name: str, off: frozenset[str]) -> bool:
    return D2D in off and name.startswith(D2D)


def _order(name: str) -> tuple[int, str]:
    """Sort as the general ones, with others between noise and shape."""
    whole = D2D if name.startswith(D2D) else name
    return (GENERAL.index(whole) if whole in GENERAL else GENERAL.index("read noise"), name)


def _shown(synapse: Synapse) -> dict[str, bool]:
    """Return which general imperfections a device has, by simulation of a few."""
    generator = torch.Generator().manual_seed(0)
    count = torch.full((_SAMPLES,), 3.0 if SET in synapse.polarities else -3.0, dtype=torch.float64)
    with torch.no_grad():
        typical = synapse.initial((_SAMPLES,), dtype=torch.float64)
        devices = synapse.initial((_SAMPLES,), generator=generator, dtype=torch.float64)
        exact = synapse.read(synapse.program(typical, Pulses(count)))
        pulsed = synapse.read(synapse.program(typical, Pulses(count), generator=generator))
        noisy = synapse.read(typical, generator=generator)
        differ = any(not torch.equal(devices[name], typical[name]) for name in typical)
        profile = StepProfile.of(synapse)
    return {
        D2D: differ,
        "cycle-to-cycle": not torch.equal(exact, pulsed),
        "read noise": not torch.equal(noisy, synapse.read(typical)),
        "asymmetry": set(synapse.polarities) == {SET, RESET} and profile.asymmetry > MIN_DEVIATION,
        "nonlinearity": profile.nonlinearity > MIN_DEVIATION,
        "range": True,
        "number of pulses": True,
        DRIFT: retains(synapse),
    }
