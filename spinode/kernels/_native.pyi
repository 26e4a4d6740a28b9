from collections.abc import Sequence
from typing import Any

_Address = Sequence[int]

def info() -> dict[str, Any]: ...
def tape(simd: str, f64: bool, layout: Sequence[int], method: int, sizes: Sequence[int], /) -> int: ...
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
    /,
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
    /,
) -> None: ...
def shooting(
    simd: str,
    layout: Sequence[int],
    ratios: Sequence[float],
    sizes: Sequence[int],
    threads: int,
    views: Sequence[_Address],
    feedthrough: int,
    feedthrough_jacobian: _Address,
    residuals: _Address,
    weights: Sequence[float],
    results: Sequence[int],
    /,
) -> None: ...
def filter(sizes: Sequence[int], at: Sequence[int], /) -> None: ...  # noqa: A001
def filter_gradient(sizes: Sequence[int], at: Sequence[int], gradient: int, /) -> None: ...
def learn(
    simd: str,
    f64: bool,
    rule: int,
    sizes: Sequence[int],
    numbers: Sequence[float],
    data: Sequence[int],
    key: int,
    first: Sequence[int],
    second: Sequence[int],
    /,
) -> int: ...
def noise(simd: str, f64: bool, key: int, sizes: Sequence[int], out: int, /) -> None: ...
def metaplastic(simd: str, f64: bool, sizes: Sequence[int], numbers: Sequence[float], data: Sequence[int], /) -> None: ...
def film(
    simd: str,
    sizes: Sequence[int],
    dt: float,
    numbers: Sequence[float],
    begin: Sequence[float],
    end: Sequence[float],
    data: Sequence[int],
    first: int,
    key: int,
    /,
) -> None: ...
