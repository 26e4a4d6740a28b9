"""One wording for runs that leave the region that the data of a fit cover."""

from __future__ import annotations

import math
import warnings

from ..errors import DomainError, DomainWarning

FITTED_DOMAIN = "the domain the surrogate was fitted on"
REDUCE_DRIVE = "Reduce the drive, or fit on a trace that covers it."

#: Distance, over the radius of the domain, from which on the warning names it.
FAR = 2.0


def warn_of_extrapolation(
    owner: object,
    share: float,
    what: str,
    remedy: str,
    *,
    strict: bool = False,
    first: str = "",
    distance: float = 0.0,
    stacklevel: int = 3,
) -> bool:
    """Warn that part of a run is an extrapolation; not if the share is 0.

    An owner that has warned warns again if more than twice the largest share of which it has warned lies outside, or twice as
    far: one run after another of a training loop stays quiet, a run that is much farther outside does not.

    Args:
        owner: The object that is run; it remembers of which share and distance it has warned.
        share: Share of the steps outside the domain.
        what: Name of the domain, such as "the domain the device was fitted on".
        remedy: What to do about it, one sentence.
        strict: Raise an error instead, at every run.
        first: Where the run leaves the domain first, if known.
        distance: Distance of the farthest step from the fitted data, over the radius of the domain, if known.
        stacklevel: As in `warnings.warn`, counted from this function; 3 is the caller of the method that calls it.

    Returns:
        True if it has warned.

    Raises:
        DomainError: `strict` is set and the share is not 0.
    """
    if not share > 0:
        return False
    where = (f", {first}" if first else "") + (
        f", up to {distance:.2g} radii of that domain from the fitted data" if distance > FAR else ""
    )
    message = f"{share:.1%} of the steps lie outside {what}{where}: the result there is an extrapolation. {remedy}"
    if strict:
        raise DomainError(f"{message} Or pass strict=False.")
    warned, farthest = getattr(owner, "_warned", 0.0), getattr(owner, "_warned_distance", math.inf)
    if share <= 2 * warned and distance <= 2 * farthest:
        return False
    object.__setattr__(owner, "_warned", max(share, warned))
    object.__setattr__(owner, "_warned_distance", distance if farthest == math.inf else max(distance, farthest))
    warnings.warn(message, DomainWarning, stacklevel=stacklevel)
    return True
