"""`SensitivityConfig`: network, data and budget of the experiment."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError
from ...validation import number, one_of, seed_number, whole_number, whole_numbers
from ..image_sets import IMAGE_SETS


@dataclass(frozen=True)
class SensitivityConfig:
    """Settings of `spinode.experiments.sensitivity.study.sensitivity`.

    The same network is trained on each variant of the device: layers of weights in devices, each followed by batch
    normalisation, with hardtanh between them; Adam, whose steps become pulses, with a rate that falls linearly to zero.

    Attributes:
        network: Units of each hidden layer.
        data: Images: made-digits, mnist or fashion-mnist.
        train: Images for training, from the first on; at least two, as for batch_size.
        test: Images for the test.
        epochs: Passes through the images.
        batch_size: Images of a step.
        kind: Encoding of a weight, pair or sign; none for sign where the device has one polarity, otherwise pair.
        rate: Learning rate: in pulses of the device for sign (at most 14 are given at a time), in weights for pair, whose
            largest is 4 / sqrt(inputs). None for 100, as published for weak RESET, and 0.002.
        seconds: Pause [s] between training and test, for devices with retention.
        dac_bits: Bits of the converters of the inputs; none for exact inputs, like all that follow.
        adc_bits: Bits of the converters of the sums of each tile.
        tile: Rows and columns of a tile.
        line_resistance: Resistance [ohm] of a wire segment between two cells.
        stuck_low: Share of the devices that are stuck at the lower end of their range.
        stuck_high: Share that is stuck at the upper end.
        seeds: Seeds; each trains all variants, and comparisons are between variants of the same seed.
        minutes: Time after which no new run is started; none for no limit. Seeds are done one after the other.

    Raises:
        ConfigError: a value out of range; no seeds, or one twice.
    """

    network: tuple[int, ...] = (32,)
    data: str = "made-digits"
    train: int = 1500
    test: int = 500
    epochs: int = 5
    batch_size: int = 50
    kind: str | None = None
    rate: float | None = None
    seconds: float = 86400.0
    dac_bits: int | None = None
    adc_bits: int | None = None
    tile: int | None = None
    line_resistance: float = 0.0
    stuck_low: float = 0.0
    stuck_high: float = 0.0
    seeds: tuple[int, ...] = (0, 1, 2)
    minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("network", "seeds"):
            given = getattr(self, name)
            object.__setattr__(self, name, tuple(given) if isinstance(given, tuple | list) else (given,))
        whole_numbers("network", self.network, 1, example=(64,))
        for seed in self.seeds:
            seed_number("seeds", seed)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds are {list(self.seeds)}; expected at least one, and each only once.")
        one_of("data", self.data, IMAGE_SETS)
        for name, least in (("train", 2), ("test", 1), ("epochs", 1), ("batch_size", 2)):  # batch normalisation needs two
            whole_number(name, getattr(self, name), least)
        one_of("kind", self.kind, ("pair", "sign", None))
        if self.rate is not None:
            number("rate", self.rate, 0, above=True)
        number("seconds", self.seconds, 0, unit="s")
        if self.minutes is not None:
            number("minutes", self.minutes, 0, above=True)
