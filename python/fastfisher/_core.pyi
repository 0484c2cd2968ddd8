"""Types of the compiled core, checked against it by stubtest."""

from collections.abc import Callable, Sequence
from typing import Any, final, overload

import numpy as np
from numpy.typing import NDArray

__version__: str
eigen_version: str
compiler: str
build_type: str

def simd_level() -> str: ...
def available_simd_levels() -> list[str]: ...
def set_simd_level(name: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def usable_processors() -> int: ...
def end_with_parent(parent: int) -> None: ...

_Matrix = NDArray[np.float32] | NDArray[np.float64]
_Scores = _Matrix | Sequence[_Matrix | tuple[_Matrix, _Matrix]]
_Real = NDArray[Any]
_Vector = NDArray[np.float64]

def fisher_product(
    scores: _Scores, weights: _Vector | None = None, precision: str = "double", threads: int = 0
) -> _Real: ...
def gram_product(
    scores: _Scores, weights: _Vector | None = None, precision: str = "double", threads: int = 0
) -> _Real: ...
def matvec(scores: _Scores, v: _Vector, precision: str = "double", threads: int = 0) -> _Real: ...
def rmatvec(scores: _Scores, u: _Vector, precision: str = "double", threads: int = 0) -> _Real: ...
def fisher_matvec(
    scores: _Scores, v: _Vector, weights: _Vector | None = None, precision: str = "double", threads: int = 0
) -> _Real: ...
def to_dense(scores: _Scores, precision: str = "double", threads: int = 0) -> _Real: ...
def square_norms(scores: _Scores, threads: int = 0) -> _Vector: ...
def column_moments(matrix: _Vector) -> tuple[_Vector, _Vector]: ...
def first_nonfinite_row(scores: _Scores, threads: int = 0) -> int: ...
def from_bfloat16(capsule: Any) -> NDArray[np.float32] | None: ...
def cholesky(matrix: _Matrix, threads: int = 0) -> _Real: ...
def measure_peak_flops(precision: str = "double", seconds: float = 0.2) -> float: ...

@final
class Fisher:
    @overload
    def __init__(self, d: int, memory_limit: float | None = None) -> None: ...
    @overload
    def __init__(self, other: Fisher) -> None: ...
    @property
    def d(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def total_weight(self) -> float: ...
    def update(self, scores: _Scores, weights: _Vector | None = None, threads: int = 0) -> None: ...
    def merge(self, other: Fisher) -> None: ...
    def matrix(self) -> _Vector: ...
    def multiply(self, v: _Vector, threads: int = 0) -> _Vector: ...
    def solve(self, rhs: _Vector, damping: float, threads: int = 0) -> _Vector: ...
    def trace(self) -> float: ...

@final
class NetworkActor:
    def __init__(self, weights: Sequence[_Vector], sine_features: bool) -> None: ...
    def __call__(self, observation: _Vector) -> _Vector: ...

class EpisodeActor:
    def __call__(self, t: int, observation: _Vector) -> Any: ...

@final
class BoxActor(EpisodeActor):
    def __init__(
        self,
        weights: Sequence[_Vector],
        sine_features: bool,
        draw: Callable[[], _Vector],
        observations: _Vector,
        actions: _Vector,
        low: _Vector,
        high: _Vector,
        units: tuple[_Vector, _Vector] | None,
        single: bool,
    ) -> None: ...

@final
class DiscreteActor(EpisodeActor):
    def __init__(
        self,
        weights: Sequence[_Vector],
        sine_features: bool,
        draw: Callable[[], _Vector],
        observations: _Vector,
        actions: NDArray[np.int64],
        start: int,
    ) -> None: ...

class MalformedStepError(ValueError): ...

def check_step(result: object) -> None: ...
def run_episode(
    choose: Callable[[int, Any], Any],
    step: Callable[[Any], Any],
    observation: Any,
    rewards: _Vector,
    final_observation: _Vector,
    index: int,
    length: NDArray[np.int64],
    unwanted_from: NDArray[np.int64],
) -> tuple[bool, int, bool, float, str | None]: ...
def natural_steps(
    scores: _Scores,
    advantages: _Vector | None,
    gradient: _Vector | None,
    weights: _Vector | None,
    count: float | None,
    center: bool,
    dampings: Sequence[float],
    relative_damping: bool,
    max_kl: float | None,
    solver: str,
    precision: str,
    tol: float,
    max_iterations: int | None,
    initial: _Vector | None,
    momentum: float,
    previous: _Vector | None,
    precondition: bool,
    sample_weights: bool,
    memory_limit: float | None,
    threads: int,
) -> list[dict[str, Any]]: ...
def accumulated_steps(
    fisher: Fisher,
    gradient: _Vector,
    count: float | None,
    dampings: Sequence[float],
    relative_damping: bool,
    max_kl: float | None,
    solver: str,
    tol: float,
    max_iterations: int | None,
    momentum: float,
    previous: _Vector | None,
    memory_limit: float | None,
    norm_advantages: float | None,
    read_again: Callable[[list[_Vector]], list[_Vector] | tuple[int, int]] | None,
    threads: int,
) -> list[dict[str, Any]]: ...

solver_names: tuple[str, ...]
precision_names: tuple[str, ...]

def predicted_costs(
    scores: _Scores,
    damping: float,
    relative_damping: bool = False,
    precision: str = "auto",
    memory_limit: float | None = None,
    threads: int = 0,
) -> dict[str, Any]: ...
def network_forward(
    features: _Vector, weights: Sequence[_Vector], single: bool = False, threads: int = 0
) -> tuple[list[_Real], _Real]: ...
def network_backward(
    weights: Sequence[_Vector], inputs: Sequence[_Real], errors: _Real, threads: int = 0
) -> list[_Real]: ...
def value_features_sums(
    observations: _Vector,
    times: NDArray[np.int64],
    time_unit: float,
    shift: _Vector,
    scale: _Vector,
    products: bool,
    targets: _Vector,
    threads: int = 0,
) -> tuple[Fisher, _Vector]: ...
def value_features_rows(
    observations: _Vector,
    times: NDArray[np.int64],
    time_unit: float,
    shift: _Vector,
    scale: _Vector,
    products: bool,
    threads: int = 0,
) -> _Vector: ...
def value_features_matvec(
    observations: _Vector,
    times: NDArray[np.int64],
    time_unit: float,
    shift: _Vector,
    scale: _Vector,
    products: bool,
    coefficients: _Vector,
    threads: int = 0,
) -> _Vector: ...
