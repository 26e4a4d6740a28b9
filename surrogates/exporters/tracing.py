"""Modules traced by `torch.export` into graphs of plain torch operations, with readable errors."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ExportError, SpinodeError

_ADVICE = (
    "A custom vector field must consist of torch operations on batches of any size, without `if`, loops or "
    "Python numbers that depend on values (use torch.where, keep tensors)."
)


def trace_module(
    module: nn.Module, example: tuple[Tensor, ...], dynamic: Sequence[Mapping[int, Any]]
) -> torch.export.ExportedProgram:
    """Trace a module.

    Args:
        module: Takes tensors, returns tensors.
        example: Inputs to trace with.
        dynamic: For each input, the dimensions that may have any size.

    Raises:
        ExportError: the vector field cannot be traced, or it calls operations that torch alone does not have.
    """
    try:
        program = torch.export.export(module, example, dynamic_shapes=tuple(dynamic))
    except SpinodeError:
        raise
    except Exception as error:  # torch has no common base class for the possible errors
        raise ExportError(f"the vector field cannot be exported: {root_cause(error)}. {_ADVICE}") from None
    for graph in (part for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)):
        for node in graph.graph.nodes:
            node.meta.pop("stack_trace", None)  # source lines and paths of this machine do not belong in the file
    _check_operations(program)
    return program


def _check_operations(program: torch.export.ExportedProgram) -> None:
    """Refuse operations that torch alone does not have: the file could not be loaded elsewhere."""
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            if isinstance(node.target, torch._ops.OpOverload) and node.target.namespace not in ("aten", "prim", "prims"):
                raise ExportError(
                    f"the vector field calls {node.target}, which torch alone does not have; the exported program could not be "
                    "loaded elsewhere. Replace this operation by torch operations."
                )


def root_cause(error: BaseException) -> str:
    """Return type and first line of the error at the start of a chain of errors.

    Example:
        >>> try:
        ...     raise ValueError("outer") from KeyError("inner")
        ... except ValueError as error:
        ...     print(root_cause(error))
        KeyError: 'inner'
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    message = re.sub(r"\s*(For more information|\(Size-like symbols).*", "", lines[0]) if lines else "no reason given"
    return f"{type(error).__name__}: {message.rstrip('.!')}"


@contextmanager
def suppress_output() -> Iterator[None]:
    """Suppress the warnings, log messages and prints of the converters; their failures are exceptions."""
    level, sink = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(sink), redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
