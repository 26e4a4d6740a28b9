from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

_Address = Sequence[int]
Array = NDArray[Any]

def info() -> dict[str, Any]: ...
def tape(simd: str, f64: bool, layout: Sequence[int], method: int, sizes: Sequence[int]) -> int: ...
def forward(
    simd: str,
    f64: bool,
    layout: Sequence[int],
    ratios: Sequence[float],
    method: int,
    sizes: Sequence[int],
    dt: float,
    limit: float,
    threads: int,
    views: Sequence[_Address],
    initial: bool,
    tape: int,
) -> bool: ...
def backward(
    simd: str,
    f64: bool,
    layout: Sequence[int],
    ratios: Sequence[float],
    method: int,
    sizes: Sequence[int],
    dt: float,
    limit: float,
    threads: int,
    views: Sequence[_Address],
    initial: bool,
    tape: int,
    gradients: Sequence[_Address],
) -> None: ...
def shooting(
    simd: str,
    *,
    layout: Sequence[int],
    ratios: Sequence[float],
    threads: int,
    theta: Tensor,
    stages: Tensor,
    states: Tensor,
    jacobian: Tensor,
    residuals: Tensor,
    weights: Sequence[float],
    matrix: Tensor,
    gradient: Tensor,
    blocks: Tensor | None,
    coupling: Tensor | None,
    pull: Tensor | None,
) -> None: ...
def filter(  # noqa: A001
    *,
    reads: Array,
    drift: Array,
    slope: Array,
    reference: Array,
    process: Array,
    read: Array,
    decay: Array,
    memory: Array,
    depth: Array,
    depth_variance: Array,
    seen: Array,
    filled: Array,
    loglik: Array,
    innovation: Array,
    variance: Array,
    mean: Array,
    gain: Array,
) -> None: ...
def filter_gradient(
    *,
    slope: Array,
    decay: Array,
    seen: Array,
    filled: Array,
    innovation: Array,
    variance: Array,
    gain: Array,
    gradient: Array,
) -> None: ...
def learn(
    simd: str,
    *,
    rule: int,
    numbers: Sequence[float],
    inputs: Tensor,
    labels: Tensor,
    noise: Tensor | None,
    samples: int,
    key: int,
    first: Sequence[Tensor | None],
    second: Sequence[Tensor | None],
    losses: Tensor,
) -> int: ...
def noise(simd: str, out: Tensor, *, key: int, first: int) -> None: ...
def metaplastic(
    simd: str,
    *,
    weight: Tensor | None,
    gradient: Tensor | None,
    average: Tensor | None,
    square: Tensor | None,
    quantised: Tensor | None,
    betas: tuple[float, float],
    rate: float,
    root_scale: float,
    eps: float,
    decay: float,
    m: float,
    spacing: float,
    levels: int,
    threads: int,
) -> None: ...
def film(
    simd: str,
    *,
    m: Tensor,
    cells: Tensor,
    stray: Tensor,
    steps: int,
    dt: float,
    numbers: Sequence[float],
    start: Sequence[float],
    stop: Sequence[float],
    first: int,
    key: int,
) -> None: ...
