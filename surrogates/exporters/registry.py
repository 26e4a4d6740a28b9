"""`export`, and the registry of exporters by the suffix of the files that they write."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeAlias

import torch

from ...errors import ConfigError, ExportError
from ...files import as_path, check_writable, write_atomically
from ..neural_ode.model import SurrogateModel

#: Called as `writer(surrogate, interpolation, **options)`, with the surrogate on the CPU and the kind of interpolation of each
#: drive and parameter; returns the content of the file.
Writer: TypeAlias = Callable[..., bytes]


@dataclass(frozen=True)
class Exporter:
    """One target of `export`.

    Attributes:
        suffix: Suffix of the files, such as ".onnx".
        summary: Content of the files in a few words.
        write: Returns the content of a file; its keyword-only parameters are the options of this target.
    """

    suffix: str
    summary: str
    write: Writer

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that this target accepts."""
        parameters = inspect.signature(self.write).parameters.values()
        return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


_EXPORTERS: dict[str, Exporter] = {}


def register(suffix: str, summary: str) -> Callable[[Writer], Writer]:
    """Register the decorated function as the exporter of a suffix.

    Args:
        suffix: Suffix of the files in lower case, with its dot.
        summary: Content of the files in a few words, for messages.

    Raises:
        ConfigError: the suffix belongs to an exporter in another module.

    Example:
        >>> @register(".names", "names of the outputs")
        ... def write_names(surrogate, interpolation):
        ...     return " ".join(surrogate.ports.output).encode()
        >>> find_exporter("device.names").summary
        'names of the outputs'
        >>> del _EXPORTERS[".names"]
    """

    def add(write: Writer) -> Writer:
        known = _EXPORTERS.get(suffix)
        if known is not None and known.write.__module__ != write.__module__:
            raise ConfigError(f"the suffix {suffix!r} belongs to the exporter in {known.write.__module__}; choose another one.")
        _EXPORTERS[suffix] = Exporter(suffix, summary, write)
        return write

    return add


def find_exporter(path: str | Path) -> Exporter:
    """Return the exporter for the suffix of a path.

    Raises:
        ConfigError: there is none; the message lists the known suffixes.

    Example:
        >>> find_exporter("device.onnx").summary
        'whole rollouts, for an ONNX runtime'
    """
    _discover()
    suffix = Path(path).suffix.lower()
    if suffix not in _EXPORTERS:
        known = " or ".join(f"{exporter.suffix} ({exporter.summary})" for _, exporter in sorted(_EXPORTERS.items()))
        raise ConfigError(f"cannot export to {str(path)!r}: its suffix is {suffix!r}; expected {known}.")
    return _EXPORTERS[suffix]


def export(
    surrogate: SurrogateModel, path: str | Path, *, interpolation: Mapping[str, str] | None = None, **options: Any
) -> None:
    """Write a surrogate as a program that runs without this package; atomically, and only if it agrees with the surrogate.

    Args:
        surrogate: The model; an ensemble is exported as the median of its members.
        path: File to write; its suffix selects the target: .pt2 (`torch_program`) or .onnx (`onnx`).
        interpolation: Interpolation of each drive between samples, by name, as in `Surrogate.simulate`.
        **options: Options of the target.

    Raises:
        ConfigError: an unknown suffix, option or interpolation, or a surrogate with NaN or of half precision.
        TraceError: the path cannot be written.
        ExportError: the vector field cannot be exported, a library is missing, or the exported program does not agree with
            the surrogate.

    Example:
        >>> from spinode.surrogates.testing import resonator
        >>> export(resonator(), "resonator.txt")
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: cannot export to 'resonator.txt': its suffix is '.txt'; expected .onnx (whole rollouts, for
        an ONNX runtime) or .pt2 (one step, for torch.export.load).
        >>> export(resonator(), "resonator.pt2")  # doctest: +SKIP
        >>> step = torch.export.load("resonator.pt2").module()  # doctest: +SKIP
    """
    target = as_path(path)
    exporter = find_exporter(target)
    for name in options:
        if name not in exporter.options:
            known = ", ".join(("interpolation", *exporter.options))
            raise ConfigError(f"an export to {exporter.suffix} has no option {name!r}; its options are: {known}.")
    if surrogate.embedding.recursive:
        part = "conductance is" if surrogate.embedding.kind == "memristive" else "exact steps are"
        raise ExportError(
            f"a surrogate with the embedding {surrogate.embedding.kind!r} cannot be exported: its {part} not part of the "
            "exported programs yet. Run it by `simulate` or `step_block`."
        )
    check_writable(target)
    _check_numbers(surrogate)
    if surrogate.noise.device.type != "cpu":
        surrogate = deepcopy(surrogate).cpu()
    drives, parameters = len(surrogate.ports.drive), len(surrogate.ports.parameters)
    _, kinds = surrogate.assemble_inputs(torch.zeros(1, drives), torch.zeros(parameters), interpolation)
    write_atomically(target, exporter.write(surrogate, kinds, **options))


def _check_numbers(surrogate: SurrogateModel) -> None:
    if surrogate.noise.dtype not in (torch.float64, torch.float32):
        raise ConfigError(
            f"the surrogate is in {surrogate.noise.dtype}; expected float64 or float32. Use `.double()` or `.float()`."
        )
    for name, tensor in surrogate.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise ConfigError(
                f"{name!r} of the surrogate contains NaN or infinite numbers; it cannot be exported. Fit the surrogate again."
            )


def _discover() -> None:
    """Import every file of this folder, so that the exporters register themselves."""
    package = import_module(__name__.rpartition(".")[0])
    for name in sorted(module.name for module in iter_modules(package.__path__)):
        import_module(f"{package.__name__}.{name}")
