"""Text that describes a synapse surrogate: fitted data, noise with its intervals, spread, and what is not known."""

from __future__ import annotations

from typing import Any

from ...units import readable


def describe(surrogate: Any, depth: float | None) -> str:
    """Return a few lines of text: fitted data, noise with 95 % intervals, spread, and what is not known.

    Args:
        surrogate: A `SynapseSurrogate`.
        depth: Depth of its telegraph noise in units of the state; None without such noise.
    """
    record, unit = surrogate.record, surrogate.unit if surrogate.scale.kind == "linear" else ""
    ranges = "".join(
        f", {name} {readable(surrogate.inputs.ranges[name][0], u)} .. {readable(surrogate.inputs.ranges[name][1], u)}"
        for name, u in (("voltage", "V"), ("width", "s"))
        if name in surrogate.inputs.ranges
    )
    lines = [
        f"device:     {record.get('devices', '?')} device(s), {record.get('recordings', '?')} recording(s), "
        f"{record.get('reads', '?')} reads",
        f"pulses:     {' and '.join(surrogate.polarities)}{ranges}",
        f"range:      {readable(surrogate.low, surrogate.unit)} .. {readable(surrogate.high, surrogate.unit)}",
    ]
    relative = " (relative)" if surrogate.scale.kind == "log" else ""
    for name, (value, low, high) in surrogate.uncertainty().items():
        if name.startswith("per pulse") and not surrogate.noise_model.memory:
            continue  # equal to the accumulating noise
        sizes = [readable(each, unit) for each in (value, low, high)]
        lines.append(f"noise:      {name} {sizes[0]}{relative}, 95 % {sizes[1]} .. {sizes[2]}")
    if depth is not None:
        trap = surrogate.telegraph
        lines.append(
            f"telegraph:  depth {depth * surrogate.scale.spread:.3g}{relative}, filled {trap.occupancy:.0%} of the time, "
            f"per pulse filled with probability {trap.fill:.2g} and emptied with {trap.leave:.2g}"
        )
    if surrogate.of_devices and surrogate.population is not None:
        lines.append(f"population: posteriors of {len(surrogate.population.weights)} devices")
    else:
        lines.append("population: none; one device (or too few) determines the noise but not device-to-device spread")
    if surrogate.retention is not None:
        lines.append(f"retention:  {surrogate.retention.describe(surrogate.scale.spread)}{relative}")
    return "\n".join(lines)
