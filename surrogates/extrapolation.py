"""One wording for runs that leave the region that the data of a fit cover."""

from __future__ import annotations

import warnings

from ..errors import DomainWarning

FITTED_DOMAIN = "the domain the surrogate was fitted on"
REDUCE_DRIVE = "Reduce the drive, or fit on a trace that covers it."


def warn_of_extrapolation(owner: object, share: float, what: str, remedy: str, *, stacklevel: int = 3) -> None:
    """Warn that part of a run is an extrapolation; once for each owner, and not if the share is 0.

    Args:
        owner: The object that is run; it remembers that it has warned.
        share: Share of the steps outside the domain.
        what: Name of the domain, such as "the domain the device was fitted on".
        remedy: What to do about it, one sentence.
        stacklevel: As in `warnings.warn`, counted from this function; 3 is the caller of the method that calls it.
    """
    if share > 0 and not getattr(owner, "_warned", False):
        object.__setattr__(owner, "_warned", True)
        message = f"{share:.1%} of the steps lie outside {what}: the result there is an extrapolation. {remedy}"
        warnings.warn(message, DomainWarning, stacklevel=stacklevel)
