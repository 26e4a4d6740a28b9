"""Published figures of the devices of benchmarks/devices.py, and what spinode must reach on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Names of the devices in tables.
NAMES = {
    "silverbox": "Silverbox",
    "ced": "coupled electric drives (CED)",
    "boucwen": "Bouc-Wen hysteresis",
    "rlc": "RLC circuit",
    "mrdamper": "MR damper",
    "buck": "buck converter",
    "diode": "diode clipper",
    "skyrmion-voltage": "skyrmion, voltage table",
    "skyrmion-ku-dmi": "skyrmion, Ku + DMI table",
    "macrospin": "macrospin (demo)",
    "film-current": "skyrmion film, perpendicular current",
    "film-flow": "skyrmion film, current in the plane",
    "four-skyrmions": "four skyrmions",
    "many-modes": "stand-in of many modes",
}

PUBLICATIONS = """Published: Champneys et al., arXiv 2405.10779, tables 3 and 4 (best: GP NARX for Silverbox,
continuous-time SUBNET for CED); Bouc-Wen: PNLSS, from memory. Skyrmions: the released weights of Chen et al. 2022, run by
`benchmarks/skyrmion.py`.
"""


def _row(unit: str, linear: float | None, network: float | None, best: float | None, reach: float | None) -> dict[str, Any]:
    return {"unit": unit, "linear": linear, "network": network, "best": best, "reach": reach}


#: By device and test: unit, and the figures of a linear model, of GRU or LSTM, the best one, and the reach.
FIGURES: dict[tuple[str, str], dict[str, Any]] = {
    ("silverbox", "multisine"): _row("mV", 6.9, 1.5, 0.30, 0.274),
    ("silverbox", "arrow"): _row("mV", 14.2, 2.7, 0.60, 0.97),
    ("silverbox", "arrow, no extrapolation"): _row("mV", 6.6, 0.95, 0.26, 0.258),
    ("ced", "low"): _row("ticks/s", 0.161, 0.286, 0.115, 0.120),
    ("ced", "high"): _row("ticks/s", 0.276, 0.145, 0.074, 0.188),
    ("boucwen", "multisine"): _row("1e-5 m", 14.9, None, 1.3, 0.44),
    ("boucwen", "sweep"): _row("1e-5 m", 17.8, None, 1.2, 0.46),
    ("rlc", "test"): _row("V", 19.5, None, None, 1.38),
    ("mrdamper", "test"): _row("N", 29.5, None, None, 4.15),
    ("buck", "test"): _row("V", 0.58, None, None, 0.167),
    ("diode", "test"): _row("mV", 216.0, None, None, 0.96),
    ("skyrmion-voltage", "58.5-85 ns"): _row("NRMSE", None, None, 0.025, None),
    ("skyrmion-voltage", "held 50 ps"): _row("NRMSE", None, None, 0.23, None),
    ("skyrmion-ku-dmi", "after 50 ns"): _row("NRMSE", None, None, 0.058, None),
    ("skyrmion-ku-dmi", "Ku segments"): _row("NRMSE", None, None, 0.074, None),
}


@dataclass(frozen=True)
class Claim:
    """What the median over seeds must meet on one test.

    Attributes:
        device: Name of the device.
        test: Name of the test; empty for a claim about the fit.
        limit: Largest value.
        low: Smallest value, or None.
        strict: The value must be below the limit, not at it.
        what: "score"; "cpu_seconds" of the fit; or an entry of the notes of `spinode.evaluate`: "coverage", "grade".
    """

    device: str
    test: str
    limit: float
    low: float | None = None
    strict: bool = False
    what: str = "score"

    def met(self, value: float) -> bool:
        """Return True if a value meets the claim."""
        return (value < self.limit if self.strict else value <= self.limit) and (self.low is None or value >= self.low)

    @property
    def limit_text(self) -> str:
        """Return the limit as text."""
        if self.low is not None:
            return f"{self.low:g} .. {self.limit:g}"
        return f"{'<' if self.strict else '<='} {self.limit:g}"


#: Tests under the kind of drive that the model was fitted on, and tests under other drives.
FITTED_DRIVES = (
    ("macrospin", "last 30 %"),
    ("silverbox", "multisine"),
    ("ced", "low"),
    ("ced", "high"),
    ("boucwen", "multisine"),
    ("rlc", "test"),
    ("mrdamper", "test"),
    ("buck", "test"),
    ("diode", "test"),
)
OTHER_DRIVES = (
    ("macrospin", "held steps"),
    ("silverbox", "arrow"),
    ("silverbox", "arrow, no extrapolation"),
    ("boucwen", "sweep"),
    ("skyrmion-voltage", "held 50 ps"),
    ("skyrmion-ku-dmi", "Ku segments"),
)

CLAIMS = (
    Claim("silverbox", "multisine", 0.30, strict=True),
    Claim("boucwen", "multisine", 1.3, strict=True),
    Claim("boucwen", "sweep", 1.2, strict=True),
    Claim("ced", "low", 0.115, strict=True),
    Claim("ced", "high", 0.12),
    # "No worse than now" in the digits in which it is stated.
    Claim("skyrmion-voltage", "58.5-85 ns", 0.00549),
    Claim("skyrmion-voltage", "held 50 ps", 0.0354),
    Claim("skyrmion-voltage", "multisine", 0.08),
    Claim("skyrmion-ku-dmi", "after 50 ns", 0.0204),
    Claim("skyrmion-ku-dmi", "Ku segments", 0.0294),
    Claim("film-current", "other steps", 0.06),
    Claim("film-flow", "other steps", 0.06),
    Claim("four-skyrmions", "steps", 0.15),
    Claim("skyrmion-voltage", "", 30.0, what="cpu_seconds"),
    Claim("macrospin", "last 30 %", 0.0, what="grade"),
    *(Claim(device, test, 0.95, low=0.85, what="coverage") for device, test in FITTED_DRIVES),
    *(Claim(device, test, 1.0, low=0.75, what="coverage") for device, test in OTHER_DRIVES),
)
