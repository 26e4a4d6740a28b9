"""Surrogates as programs that run without this package.

Each target is one file of this folder, selected by the suffix of the exported file:

* `torch_program`: .pt2, one step, differentiable, for torch alone;
* `onnx`: .onnx, whole rollouts, for ONNX runtimes.

A new target is one new file with a function that `register` decorates; nothing else changes.
"""

from .registry import Exporter as Exporter, export as export, find_exporter as find_exporter, register as register
