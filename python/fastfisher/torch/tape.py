"""The tape of one capture: from log-probabilities to per-sample scores by one backward pass."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .certificate import Sum, certify, operations, random_weights, sum_of
from .devices import without_autocast
from .errors import UnsupportedModuleError
from .fisher import fisher_roots
from .recorder import Recorder, can_run_eagerly
from .rows import Room, Rows, is_constant, joined, rows_of
from .rules import Factor, Pair, as_product, written_out
from .scores import Column, TorchScores
from .survey import Survey, survey

_certified: WeakKeyDictionary[nn.Module, dict[Any, set[str]]] = WeakKeyDictionary()
"""The ways in which each module was called when its scores were compared with autograd's gradient.

Each comes with the parameters of which the comparison could say nothing yet.
"""


class Tape:
    """What `capture` returns: a context manager that watches a module's forward passes.

    Several calls of one layer within a block are uses of the same parameters, whose scores are added.  A
    block that is entered again starts anew.
    """

    def __init__(self, module: nn.Module, parts: Survey, check: bool | None) -> None:
        self.module, self.check = module, check
        self._parts = parts
        self._recorder = Recorder(module, parts)

    def __enter__(self) -> Tape:
        if self._recorder.started:
            raise RuntimeError(
                "capture: expected a block that has ended before it is entered again, got one within"
            )
        self._parts = survey(self.module)  # Parameters may have been frozen, or replaced, since.
        self._recorder = Recorder(self.module, self._parts)
        self._recorder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recorder.stop()
        refused = self._recorder.batch.refused
        if isinstance(error, TypeError) and refused is not None and error is not refused:
            raise refused from error
        if type(error).__module__ == "torch._dynamo.exc" and not can_run_eagerly():
            raise UnsupportedModuleError(
                "module: expected one that is not compiled, since torch is older than 2.6 and cannot run "
                "what was compiled as it was written"
            ) from error

    def scores(
        self, log_prob: Tensor, *, retain_graph: bool = False, check: bool | None = None
    ) -> TorchScores:
        """Return the scores of the module's parameters, by one backward pass that forms no weight's gradient.

        Parameters
        ----------
        log_prob : (N,) tensor
            The log-probabilities of the samples, computed inside of the block.
        retain_graph : bool
            Keep the graph for another backward pass.
        check : bool, optional
            As that of `capture`, which is the default.

        Returns
        -------
        TorchScores
            (N, d): row n is the gradient of ``log_prob[n]`` by the trainable parameters that log_prob depends
            on.

        Raises
        ------
        TypeError, ValueError
            If log_prob is not as above, no trainable parameter of the module is behind it, or a layer's batch
            has other samples than log_prob.
        UnsupportedModuleError
            If a module was called in a way that has no per-sample scores.
        ScoresMismatchError
            If the scores do not add up to autograd's own gradient.
        """
        self._check_log_prob(log_prob)
        with without_autocast(log_prob):
            return self._scores(log_prob, retain_graph, check)

    def _scores(self, log_prob: Tensor, retain_graph: bool, check: bool | None) -> TorchScores:
        ones = [torch.ones_like(log_prob)]
        way = self._way("scores", [log_prob])
        certifying = self._may_certify(check, way)
        factors = self._differentiate([log_prob], ones, retain_graph=retain_graph or certifying)
        if certifying and self._is_to_certify(check, way, factors):
            weights = random_weights(len(log_prob))
            sums = {name: sum_of(factor, weights) for name, factor in factors.items()}
            untold = self._certify(sums, [log_prob], [weights.to(log_prob)], retain_graph)
            self._remember(way, untold)
        columns = self._columns(factors)
        return TorchScores(columns, [_block(factors[name]) for name, _ in columns])

    def fisher_scores(
        self, distribution: Any, *, retain_graph: bool = False, check: bool | None = None
    ) -> TorchScores:
        """Return scores whose Gram matrix over N is the exact Fisher matrix, the expectation over actions.

        Parameters
        ----------
        distribution : torch.distributions.Distribution, or list of them
            The policy's for N states, computed inside of the block.
        retain_graph : bool
            Keep the graph for another backward pass, such as that of `scores`.
        check : bool, optional
            As that of `capture`, which is the default.

        Returns
        -------
        TorchScores
            With several rows for each state, and N for its `count`; it takes a `gradient`, such as that of
            `TorchScores.mean_gradient`.

        Raises
        ------
        TypeError, ValueError
            If the distribution is of another kind, or has no parameters in the graph.
        """
        return self.root_scores(fisher_roots(distribution), retain_graph=retain_graph, check=check)

    def root_scores(
        self, roots: Sequence[tuple[Tensor, Tensor]], *, retain_graph: bool = False, check: bool | None = None
    ) -> TorchScores:
        """Return the rows J^T E_k of roots of a Fisher matrix, given in tensors z of the graph.

        Parameters
        ----------
        roots : sequence of pairs of tensors
            z, (N, ...), a tensor of the graph, and E, (m, N, ...): sum_k E[k, n] E[k, n]^T is the Fisher
            matrix in z[n].  Several z are orthogonal in the Fisher metric.
        retain_graph : bool
            Keep the graph for another backward pass.
        check : bool, optional
            As that of `capture`, which is the default.

        Returns
        -------
        TorchScores
            Whose S^T S / N is sum over z and k of J^T E_k E_k^T J / N, the exact Fisher matrix; its `count`
            is N.

        Raises
        ------
        ValueError, UnsupportedModuleError, ScoresMismatchError
            As `scores` does.
        """
        with without_autocast(roots[0][0]):
            return self._root_scores(roots, retain_graph, check)

    def _root_scores(
        self, roots: Sequence[tuple[Tensor, Tensor]], retain_graph: bool, check: bool | None
    ) -> TorchScores:
        way = self._way("roots", [z for z, _ in roots])
        certifying = self._may_certify(check, way)
        # Rows are the same for all samples where z itself is, as a rule; elsewhere they are moved once more.
        fixed = [is_constant(z.detach()) for z, _ in roots]
        counts = [len(factors) for _, factors in roots]
        constants = sum(m for m, is_fixed in zip(counts, fixed, strict=True) if is_fixed)
        room, first, each = Room(len(roots[0][0]), sum(counts) - constants, constants), 0, []
        for place, ((z, factors), m, is_fixed) in enumerate(zip(roots, counts, fixed, strict=True)):
            keep = retain_graph or certifying or place < len(roots) - 1
            passes = self._root_factors(z, factors, retain_graph=keep)
            if is_fixed:
                each.append(rows_of(passes, m, Room(len(z), m, 0), 0))
            else:
                each.append(rows_of(passes, m, room, first))
                first += m
        if certifying and self._is_to_certify(check, way, *each):
            self._remember(way, self._certify_roots(roots, each, retain_graph))
        present = {name for found in each for name in found}
        columns = self._columns(present)
        blocks, order = joined(each, [(name, parameter.numel()) for name, parameter in columns])
        return TorchScores(columns, blocks, order=order, count=len(roots[0][0]))

    # Backward passes

    def _differentiate(
        self, outputs: Sequence[Tensor], errors: Sequence[Tensor], *, retain_graph: bool
    ) -> dict[str, Factor]:
        """Return the factors of each parameter, by one backward pass."""
        found = self._backward(outputs, errors, retain_graph=retain_graph)
        return self._factors(found, len(outputs[0]))

    def _inputs(self) -> list[Any]:
        """Return what to differentiate by: the layers' outputs, and the loose parameters' copies."""
        edges = [edge for record in self._recorder.records for edge in record.edges if edge is not None]
        inputs = [*edges, *(copies for _, copies in self._copies())]
        if not inputs:
            raise ValueError(
                "log_prob: expected it to depend on the module's parameters, but the module was not called "
                "within the capture, only under torch.no_grad(), or compiled where torch is older than 2.6"
            )
        return inputs

    def _copies(self) -> list[tuple[str, Tensor]]:
        return [
            (name, copies)
            for name, source in self._recorder.sources.items()
            for copies in source.copies.values()
        ]

    def _backward(
        self, outputs: Sequence[Tensor], errors: Sequence[Tensor], *, retain_graph: bool
    ) -> list[Tensor | None]:
        inputs, calls = self._inputs(), len(self._recorder.records)
        found = torch.autograd.grad(outputs, inputs, errors, retain_graph=retain_graph, allow_unused=True)
        del self._recorder.records[calls:]  # Within the block, checkpointed parts are called once more.
        return list(found)

    def _root_factors(self, z: Tensor, factors: Tensor, *, retain_graph: bool) -> Iterator[dict[str, Factor]]:
        """Yield the factors of each parameter for each of the m factors of one root.

        One pass after another takes 0.8 to 0.9 of the time of all in one by ``is_grads_batched``.
        """
        last = len(factors) - 1
        for k, factor in enumerate(factors):
            yield self._differentiate([z], [factor], retain_graph=retain_graph or k < last)

    def _factors(self, errors: Sequence[Tensor | None], size: int) -> dict[str, Factor]:
        """Return the factors of each parameter, the sum of its uses."""
        uses: dict[str, list[Factor]] = {}
        rest = iter(errors)
        for record in self._recorder.records:
            ours = [None if edge is None else next(rest) for edge in record.edges]
            first = next((error for error in ours if error is not None), None)
            if first is None:
                continue
            layer = record.layer
            repeats = self._repeats(first, size, layer) if layer.rule.batch_first else 1
            found = layer.rule.apply(layer.module, record.call(ours, size * repeats))
            for name, factor in found.items():
                if name in layer.names:
                    uses.setdefault(layer.names[name], []).append(
                        _widened(_regrouped(factor, size, repeats, layer))
                    )
        for (name, copies), given in zip(self._copies(), rest, strict=True):
            if given is None:
                continue
            repeats = self._repeats(copies, size, f"{name} of {self._parts.modules[name]}")
            uses.setdefault(name, []).append(_widened(_regrouped(given, size, repeats, name)))
        return {name: _sum(factors, self._parts.parameters[name]) for name, factors in uses.items()}

    # Checks

    @staticmethod
    def _repeats(value: Tensor, size: int, name: object) -> int:
        """Return how many consecutive rows of a layer's batch belong to each of the N samples."""
        rows = len(value) if value.ndim else 0
        if rows == 0 or rows % size:
            raise ValueError(
                f"{name}: expected a batch of {size} samples, as log_prob has, along the first axis, got "
                f"shape {tuple(value.shape)}"
            )
        return rows // size

    @staticmethod
    def _check_log_prob(log_prob: Tensor) -> None:
        if not isinstance(log_prob, Tensor):
            raise TypeError(f"log_prob: expected a tensor, got {type(log_prob).__name__}")
        if log_prob.ndim != 1:
            hint = ": sum it over the actions' axes" if log_prob.ndim > 1 else ": leave it as one a sample"
            raise ValueError(
                f"log_prob: expected shape (N,), one entry a sample, got {tuple(log_prob.shape)}{hint}"
            )
        if not len(log_prob):
            raise ValueError("log_prob: expected at least one sample, got shape (0,)")
        if not log_prob.requires_grad:
            raise ValueError(
                "log_prob: expected a tensor of autograd's graph, got one without: it was computed under "
                "torch.no_grad() or inference_mode(), detached, or does not depend on the module"
            )

    def _way(self, kind: str, outputs: Sequence[Tensor]) -> Any:
        """Return what tells one way from another, of calling the module and of what is done with its outputs.

        Whatever the batch's size, that is.
        """
        size = len(outputs[0])
        calls = tuple(
            (
                record.layer.path,
                record.layer.module.training,
                tuple((len(shape), shape[:1].numel() == size, dtype) for shape, dtype in record.outputs),
            )
            for record in self._recorder.records
        )
        return kind, calls, tuple(self._parts.parameters), outputs[0].dtype, operations(outputs)

    def _may_certify(self, check: bool | None, way: Any) -> bool:
        check = self.check if check is None else check
        if check is not None:
            return check
        untold = _certified.get(self.module, {}).get(way)
        return untold is None or bool(untold)

    def _is_to_certify(self, check: bool | None, way: Any, *found: Mapping[str, Factor | Rows]) -> bool:
        """Tell whether the comparison has something to say that it had not said before."""
        check = self.check if check is None else check
        known = _certified.get(self.module, {})
        if check or way not in known:
            return True
        each = {name: [factors[name] for factors in found if name in factors] for name in known[way]}
        return any(not values or any(map(_any, values)) for values in each.values())

    def _remember(self, way: Any, untold: set[str]) -> None:
        known = _certified.setdefault(self.module, {})
        known[way] = untold & known.get(way, untold)

    def _certify(
        self, sums: Mapping[str, Sum], outputs: Sequence[Tensor], errors: Sequence[Tensor], retain_graph: bool
    ) -> set[str]:
        parameters, modules = self._parts.parameters, self._parts.modules
        dtypes = {dtype for record in self._recorder.records for _, dtype in record.outputs}
        dtypes |= {parameter.dtype for parameter in parameters.values()} | self._recorder.batch.dtypes
        eps = max(torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point)
        return certify(sums, parameters, modules, outputs, errors, eps=eps, retain_graph=retain_graph)

    def _certify_roots(
        self, roots: Sequence[tuple[Tensor, Tensor]], each: Sequence[Mapping[str, Rows]], retain_graph: bool
    ) -> set[str]:
        """Certify one sum over the rows of all roots, by random weights."""
        sums: dict[str, Sum] = {}
        errors = []
        for (z, factors), found in zip(roots, each, strict=True):
            weights = random_weights(len(z), len(factors))
            errors.append(torch.einsum("nm,mn...->n...", weights.to(factors), factors))
            for name, rows in found.items():
                total, scale = rows.weighted_sum(weights)
                if name in sums:
                    total, scale = total.flatten() + sums[name].total.flatten(), scale + sums[name].scale
                sums[name] = Sum(total, scale)
        return self._certify(sums, [z for z, _ in roots], errors, retain_graph)

    def _columns(self, names: Collection[str]) -> list[Column]:
        return [
            Column(name, parameter) for name, parameter in self._parts.parameters.items() if name in names
        ]


def _sum(factors: list[Factor], parameter: nn.Parameter) -> Factor:
    """Return the sum of a parameter's uses: of pairs, all their positions; else written out."""
    if len(factors) == 1:
        return factors[0]
    if all(isinstance(factor, Pair) for factor in factors):
        return Pair(*(torch.cat(sides, dim=1) for sides in zip(*factors, strict=True)))
    total = _dense(factors[0], parameter)
    for factor in factors[1:]:
        total = total + _dense(factor, parameter)
    return total


def _regrouped(factor: Factor, size: int, repeats: int, name: object) -> Factor:
    """Return the factors of N samples, the sum over the rows that belong to each."""
    sides = factor if isinstance(factor, Pair) else (factor,)
    if any(len(side) != size * repeats for side in sides):
        raise UnsupportedModuleError(
            f"{name}: expected scores of {size * repeats} rows from its rule, got {len(sides[0])}"
        )
    if repeats == 1:
        return factor
    if isinstance(factor, Pair):
        return Pair(*(side.reshape(size, -1, side.shape[2]) for side in factor))
    return factor.reshape(size, repeats, *factor.shape[1:]).sum(1)


def _widened(factor: Factor) -> Factor:
    """Return a factor in float32 where it is in half precision, whose squares would overflow."""

    def widened(tensor: Tensor) -> Tensor:
        return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor

    return Pair(*map(widened, factor)) if isinstance(factor, Pair) else widened(factor)


def _dense(factor: Factor, parameter: nn.Parameter) -> Tensor:
    rows = written_out(factor)
    return rows.reshape(len(rows), *parameter.shape)


def _block(factor: Factor) -> Tensor | tuple[Tensor, Tensor]:
    """Return the columns of a factor: a pair where it has one position, else an array."""
    product = as_product(factor)
    return written_out(factor) if product is None else product


def _any(factor: Factor | Rows) -> bool:
    """Tell whether scores are other than zero, from their factors."""
    sides = (factor,) if isinstance(factor, Tensor) else (side for side in factor if isinstance(side, Tensor))
    return all(bool(side.any()) for side in sides)
