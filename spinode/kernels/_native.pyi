from collections.abc import Sequence
from typing import Any

_Address = Sequence[int]

def info() -> dict[str, Any]: ...
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
    /,
) -> None: ...
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
    gradients: Sequence[_Address],
    /,
) -> None: ...
