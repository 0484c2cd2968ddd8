"""Scores: what every function of the package takes as ``scores``.

Row n of the (N, d) matrix holds grad log pi(a_n | s_n).  Scores are one array, or a list of blocks side by
side, each an array (N, k) or a pair (left, right) of arrays (N, p) and (N, q) that stands for the k = p q
columns of the outer products left[n] right[n]^T, flattened in C order: a dense layer's inputs and
back-propagated errors.  A block of more axes, such as the (N, p, q) of a matrix of weights, is flattened in
C order to (N, p q).

A dict of blocks, or of such dicts, as torch.func and JAX give the gradients of all samples, is the list of
its values in the dict's own order: the order of ``items()``, which is that of insertion, where JAX's own
``tree_leaves`` sorts by key.  A step is taken apart in that order:

>>> import fastfisher as ff, numpy as np
>>> rng = np.random.default_rng(0)
>>> gradients = {"weight": rng.standard_normal((100, 3, 2)), "bias": rng.standard_normal((100, 2))}
>>> result = ff.natural_step(gradients, rng.standard_normal(100))
>>> shapes = {name: block.shape[1:] for name, block in gradients.items()}
>>> parts = np.split(result.step, np.cumsum([np.prod(shape) for shape in shapes.values()])[:-1])
>>> steps = {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts)}
>>> steps["weight"].shape, steps["bias"].shape
((3, 2), (2,))

Where m rows share their left side, the right one has three axes, (N, p) and (N, m, q): row n m + k is the
outer product left[n] right[n, k]^T, and work on the left side is done once.  An exact Fisher matrix has such
rows: a network's m outputs for each of its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import fisher_product, gram_product, matvec, rmatvec, to_dense
from .arguments import POSITIVE, choice, number, refuse_masked
from .arrays import as_array, as_real_numbers, axes_of

FloatArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
Block: TypeAlias = ArrayLike | tuple[ArrayLike, ArrayLike]
ScoresLike: TypeAlias = Union[ArrayLike, Sequence[Block], Mapping[str, Any], "Scores"]
NativeBlock: TypeAlias = FloatArray | tuple[FloatArray, FloatArray]

_NATIVE = np.dtype(np.float64), np.dtype(np.float32)


def describe(array: NDArray[Any]) -> str:
    """Return the shape and the dtype in words, for the end of an error message."""
    return f"shape {array.shape} of {array.dtype}"


def as_float_array(values: object, name: str) -> FloatArray:
    """Return `values` as an aligned, native float32 or float64 array, copied only where they are not one.

    float16 and bfloat16 become float32; integers, booleans and longer floats become float64.  Values that are
    no real numbers raise a TypeError, masked ones a ValueError, with `name` in the message.
    """
    array = values if type(values) is np.ndarray else as_array(values, name)
    if array.dtype in _NATIVE and array.flags.aligned:
        return array
    if array.dtype.kind not in "fiub":
        array = as_real_numbers(array, values, name)
    dtype = np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64
    aligned: FloatArray = np.require(array, dtype=dtype, requirements="A")
    return aligned


class Scores:
    """A score matrix S, (N, d), held as blocks of columns; pairs are never multiplied out.

    Arrays are viewed where they lie, whatever their order and strides; only other dtypes than float32 and
    float64 are copied.  Products are in float64 unless said otherwise.

    The values are not checked: NaN, infinities and numbers beyond float64 go through the products of this
    class as through NumPy's.  `natural_step` and `Fisher` refuse them.

    Parameters
    ----------
    blocks : (N, d) array, sequence of blocks, or dict of blocks
        Each block an array (N, k) or a pair (left, right) of arrays (N, p) and (N, q), which stands for the
        k = p q columns of the outer products left[n] right[n]^T, flattened in C order.  A pair of arrays
        (N / m, p) and (N / m, m, q) has m consecutive rows for each of `left`.  An array of more axes is
        flattened in C order, and a dict is its values in its own order; see `fastfisher.scores`.

    Raises
    ------
    TypeError, ValueError
        If the shapes do not fit together, or there are no rows or no columns; the message names the block.

    Examples
    --------
    >>> import fastfisher as ff, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> inputs, errors = rng.standard_normal((100, 65)), rng.standard_normal((100, 64))
    >>> S = ff.Scores([(inputs, errors), rng.standard_normal((100, 6))])
    >>> S.shape, (S @ np.ones(4166)).shape, (S.T @ np.ones(100)).shape, S[:10].gram().shape
    ((100, 4166), (100,), (4166,), (10, 10))
    """

    __slots__ = ("_blocks", "_shape")

    def __init__(self, blocks: ScoresLike) -> None:
        self._blocks: tuple[NativeBlock, ...]
        self._shape: tuple[int, int]
        if isinstance(blocks, Scores):
            self._blocks, self._shape = blocks._blocks, blocks._shape
            return
        names = ["scores"]
        if is_blocks(blocks):
            named = list(_named_blocks(blocks, "scores"))  # type: ignore[arg-type]
            names = [name for name, _ in named]
            self._blocks = tuple(_block(block, name) for name, block in named)
        else:
            dense = as_float_array(blocks, "scores")
            if dense.ndim != 2:
                expected = "a two-dimensional array (N, d), or a list of blocks"
                raise ValueError(f"scores: expected {expected}, got {describe(dense)}")
            self._blocks = (dense,)
        shapes = [_shape(block) for block in self._blocks]
        if not shapes:
            raise ValueError("scores: expected at least one block, got an empty dict")
        rows, _ = shapes[0]
        for name, (got, _) in zip(names, shapes, strict=True):
            if got != rows:
                raise ValueError(f"{name}: expected {rows} rows as in {names[0]}, got {got}")
        self._shape = (rows, sum(columns for _, columns in shapes))
        if 0 in self._shape:
            raise ValueError(f"scores: expected at least one row and one column, got shape {self._shape}")

    @property
    def blocks(self) -> tuple[NativeBlock, ...]:
        """The blocks, in the order of their columns: arrays (N, k), and pairs of arrays (N, p), (N, q).

        A pair whose rows share their left side is (N / m, p), (N / m, m, q).
        """
        return self._blocks

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (N, d)."""
        return self._shape

    @property
    def ndim(self) -> int:
        """The number of axes, 2."""
        return 2

    @property
    def T(self) -> TransposedScores:
        """S^T, for products S.T @ u."""
        return TransposedScores(self)

    @property
    def native(self) -> FloatArray | list[NativeBlock]:
        """What the compiled core takes: the array itself, or the blocks."""
        first = self._blocks[0]
        return first if len(self._blocks) == 1 and not isinstance(first, tuple) else list(self._blocks)

    def __len__(self) -> int:
        return self._shape[0]

    def __matmul__(self, v: ArrayLike) -> NDArray[np.float64]:
        """S v, (N,), for v of shape (d,)."""
        return matvec(self.native, as_vector(v, self._shape[1], "v", "parameter"))

    def __getitem__(self, rows: slice | NDArray[Any]) -> Scores:
        """Return some of the rows: a view for a slice, a copy for an array of indices or booleans."""
        if not isinstance(rows, (slice, np.ndarray)):
            raise TypeError(f"rows: expected a slice or an index array, got {type(rows).__name__}")
        refuse_masked(rows, "rows")
        return Scores([_some_rows(block, rows) for block in self._blocks])

    def gram(
        self, weights: ArrayLike | None = None, *, precision: Literal["single", "double"] = "double"
    ) -> FloatArray:
        """diag(sqrt w) S S^T diag(sqrt w), (N, N), exactly symmetric; a pair costs p + q an entry."""
        w = None if weights is None else as_weights(weights, len(self))
        return gram_product(self.native, w, _single_or_double(precision))

    def fisher(
        self,
        weights: ArrayLike | None = None,
        *,
        count: float | None = None,
        precision: Literal["single", "double"] = "double",
    ) -> FloatArray:
        """F = S^T diag(w) S / count, (d, d), exactly symmetric; count defaults to sum w."""
        w = None if weights is None else as_weights(weights, len(self))
        if count is not None:
            divisor = number(count, "count", POSITIVE)
        else:
            with np.errstate(over="ignore"):
                divisor = float(len(self) if w is None else w.sum())
        if divisor == math.inf:
            raise ValueError("weights: expected a positive finite sum, got inf")
        F = fisher_product(self.native, w, _single_or_double(precision))
        F /= divisor
        return F

    def to_dense(self, *, precision: Literal["single", "double"] = "double") -> FloatArray:
        """The matrix itself, (N, d), C-ordered: a new array."""
        return to_dense(self.native, _single_or_double(precision))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The matrix itself, for `numpy.asarray`."""
        if copy is False:
            raise ValueError(
                "copy: expected True or None for scores, whose blocks are written out, got False"
            )
        return np.asarray(self.to_dense(), dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return Scores, (list(self._blocks),)

    def __repr__(self) -> str:
        def words(block: NativeBlock) -> str:
            if isinstance(block, tuple):
                shared = f", {block[1].shape[1]} rows each" if block[1].ndim == 3 else ""
                return f"({block[0].shape[1]} x {block[1].shape[-1]}{shared})"
            return str(block.shape[1])

        return f"Scores(shape={self._shape}, blocks=[{', '.join(map(words, self._blocks))}])"


class TransposedScores:
    """S^T of a `Scores`, as ``scores.T`` gives it."""

    __slots__ = ("_scores",)

    def __init__(self, scores: Scores) -> None:
        self._scores = scores

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d, N)."""
        return self._scores.shape[::-1]

    @property
    def T(self) -> Scores:
        """The scores S themselves."""
        return self._scores

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The matrix itself, for `numpy.asarray`."""
        return self._scores.__array__(dtype, copy).T

    def __reduce__(self) -> tuple[Any, ...]:
        return TransposedScores, (self._scores,)

    def __matmul__(self, u: ArrayLike) -> NDArray[np.float64]:
        """S^T u, (d,), for u of shape (N,)."""
        return rmatvec(self._scores.native, as_vector(u, len(self._scores), "u", "row"))


def as_scores(scores: ScoresLike) -> Scores:
    """Return the `Scores` of whatever stands for them."""
    return scores if isinstance(scores, Scores) else Scores(scores)


def as_vector(values: object, size: int, name: str, per: str) -> NDArray[np.float64]:
    """Return values as a contiguous, finite float64 vector of a known size.

    `per` names what there is one entry for.  A TypeError or ValueError names the argument.
    """
    array = as_float_array(values, name)
    if array.shape != (size,):
        raise ValueError(f"{name}: expected shape ({size},), one entry a {per}, got {describe(array)}")
    vector = np.ascontiguousarray(array, dtype=np.float64)
    check_finite(vector, name, per)
    return vector


def optional_vector(values: object, size: int | None, name: str, per: str) -> NDArray[np.float64] | None:
    """Return None for None, and else `as_vector`; where `size` is None a vector of any size will do."""
    if values is None:
        return None
    if size is None:
        values = as_float_array(values, name)
        size = values.size
    return as_vector(values, size, name, per)


def check_finite(array: FloatArray, name: str, *axes: str) -> None:
    """Refuse an array with NaN or infinities; the ValueError says where along the named axes the first is."""
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(np.argwhere(~finite)[0])
        where = ", ".join(f"{axis} {index}" for axis, index in zip(axes, place, strict=True))
        raise ValueError(f"{name}: expected finite values, got {array[place]} at {where}")


def as_weights(weights: object, size: int, *, zeros: bool = False) -> NDArray[np.float64]:
    """Return sample weights, (N,), non-negative and not all zero; with `zeros` all of them may be."""
    vector = as_vector(weights, size, "weights", "row")
    if vector.min() < 0.0:
        row = int(np.argmin(vector >= 0.0))
        raise ValueError(f"weights: expected values >= 0, got {vector[row]} at row {row}")
    if not zeros and not vector.any():
        raise ValueError("weights: expected a positive sum, got all zeros")
    return vector


def _single_or_double(precision: object) -> str:
    return choice(precision, "precision", ("single", "double"))


def is_blocks(scores: object) -> bool:
    """Tell whether a value holds arrays or pairs of them, rather than rows of numbers.

    A tuple of two arrays that could be a pair is a TypeError: it may be meant as one, or as two blocks.
    """
    if isinstance(scores, np.ndarray):
        return False
    if isinstance(scores, Mapping):
        return True
    if not isinstance(scores, (list, tuple)) or not scores:
        return False
    if isinstance(scores, tuple) and _is_pair(scores):
        raise TypeError(
            "scores: expected a list of blocks, got a tuple of two arrays: [(inputs, errors)] is a pair, and "
            "[left, right] are two blocks side by side"
        )
    first = scores[0]
    return _is_pair(first) if isinstance(first, (tuple, list)) else axes_of(first) >= 2


def _is_pair(value: tuple[Any, ...] | list[Any]) -> bool:
    return len(value) == 2 and axes_of(value[0]) == 2 and axes_of(value[1]) in (2, 3)


def _named_blocks(blocks: Mapping[Any, Any] | Sequence[Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield the blocks with what a message calls them; a dict's may be dicts in turn."""
    for key, block in blocks.items() if isinstance(blocks, Mapping) else enumerate(blocks):
        if isinstance(block, Mapping):
            yield from _named_blocks(block, f"{name}[{key!r}]")
        else:
            yield f"{name}[{key!r}]", block


def _shape(block: NativeBlock) -> tuple[int, int]:
    """Return the rows and the columns that a block stands for."""
    left, right = block if isinstance(block, tuple) else (None, block)
    return math.prod(right.shape[:-1]), right.shape[-1] * (1 if left is None else left.shape[1])


def with_own_left(block: NativeBlock) -> NativeBlock:
    """Return a block as it is, except that a left side which rows share is written out for each of them."""
    if not isinstance(block, tuple) or block[1].ndim == 2:
        return block
    left, right = block
    repeated: FloatArray = left[np.arange(len(left)).repeat(right.shape[1])]
    rows: FloatArray = right.reshape(-1, right.shape[2])
    return repeated, rows


def _some_rows(block: NativeBlock, rows: slice | NDArray[Any]) -> NativeBlock:
    if not isinstance(block, tuple):
        return block[rows]
    left, right = block
    if right.ndim == 3:
        repeats = right.shape[1]
        whole = isinstance(rows, slice) and rows.indices(_shape(block)[0])
        if whole and whole[2] == 1 and whole[0] % repeats == whole[1] % repeats == 0:
            groups = slice(whole[0] // repeats, whole[1] // repeats)
            return left[groups], right[groups]
        left, right = with_own_left(block)
    return left[rows], right[rows]


def _block(block: Any, name: str) -> NativeBlock:
    if not isinstance(block, (tuple, list)):
        dense = as_float_array(block, name)
        if dense.ndim < 2:
            raise ValueError(
                f"{name}: expected a two-dimensional block (N, k), or one of more axes, got {describe(dense)}"
            )
        return dense if dense.ndim == 2 else dense.reshape(len(dense), math.prod(dense.shape[1:]))
    if len(block) != 2:
        raise ValueError(f"{name}: expected an array or a pair (left, right), got {len(block)} items")
    left = as_float_array(block[0], f"{name}[0]")
    right = as_float_array(block[1], f"{name}[1]")
    if left.ndim != 2 or right.ndim not in (2, 3) or len(left) != len(right):
        raise ValueError(
            f"{name}: expected a pair of two-dimensional arrays with as many rows, or (N, p) and (N, m, q), "
            f"got {describe(left)} and {describe(right)}"
        )
    if left.dtype != right.dtype:  # The wider dtype of the two serves both.
        left, right = left.astype(np.float64, copy=False), right.astype(np.float64, copy=False)
    if right.ndim == 3:
        rows, repeats, _ = right.shape
        if repeats == 0:
            raise ValueError(f"{name}[1]: expected at least one row for each of the left side, got none")
        if repeats > 1 and rows > 1 and right.strides[0] != repeats * right.strides[1]:
            right = right.copy()  # The core takes rows that lie at one distance.
    return left, right
