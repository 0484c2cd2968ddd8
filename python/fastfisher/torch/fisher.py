"""Roots of the Fisher matrices of torch's distributions.

A distribution has parameters, tensors z of shape (N, ...) in autograd's graph: a Normal its loc and scale, a
Categorical its logits.  The Fisher matrix in them is known in closed form, and so is a root of it: factors
E_k with sum_k E_k E_k^T = F_z, sample by sample.  Pulled back through the network they are the rows
J^T E_k whose outer products sum to the exact Fisher matrix of the policy, J^T F_z J, which is the Hessian of
KL(pi_old || pi) at pi_old (Amari, "Natural Gradient Works Efficiently in Learning", 1998; Martens,
arXiv 1412.1193, section 8).

The first axis of a parameter counts the samples.  All others are components of one action, whose
log-probabilities are added: a Normal of shape (N, m) is a diagonal Gaussian with or without ``Independent``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Transform,
    TransformedDistribution,
    kl_divergence,
)

SUPPORTED = (
    "Normal, MultivariateNormal, Categorical, OneHotCategorical, Bernoulli, Beta, Dirichlet, "
    "Independent of one of them, TransformedDistribution of one by fixed bijections, or a list of these"
)


class Root(NamedTuple):
    """A root of the Fisher matrix in one parameter of a distribution."""

    parameter: Tensor
    """z, (N, ...), in the graph."""
    factors: Tensor
    """E, (m, N, ...): sum_k E[k, n] E[k, n]^T is the Fisher matrix in z[n].  Detached."""


Part: TypeAlias = tuple[Tensor, Callable[[], Tensor]]
"""A parameter (*batch, *event) and a function that gives its root (*batch, m, size of the event)."""


def fisher_roots(distribution: object) -> list[Root]:
    """Return the roots of the Fisher matrix in every parameter of a distribution that needs a gradient.

    Parameters of one distribution that are given here are orthogonal in the Fisher metric, so that each has
    factors of its own.

    Parameters
    ----------
    distribution : torch.distributions.Distribution, or list or tuple of them
        What the policy gave for a batch of N states; the members of a list are independent.

    Returns
    -------
    list of Root
        With one N for all of them.

    Raises
    ------
    TypeError
        If a distribution is not one of those that are supported; the message names it.
    ValueError
        If there is no axis of samples, the members of a list differ in it, or no parameter needs a gradient.
    """
    roots, sizes = [], {}
    for name, member in members(distribution):
        family = _family(name, member)
        if not member.batch_shape:
            raise ValueError(
                f"{name}: expected a batch_shape (N, ...), one {_words(member)} a sample, got ()"
            )
        sizes[name] = member.batch_shape[0]
        for parameter, factors in family(member):
            if parameter.requires_grad:
                with torch.no_grad():
                    roots.append(Root(parameter, _spread(parameter, factors())))
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{size} of {name}" for name, size in sizes.items())
        raise ValueError(f"distribution: expected members with as many samples each, got {found}")
    if not roots:
        raise ValueError(
            "distribution: expected parameters that need a gradient, got none: make it within capture(...), "
            "where gradients are enabled"
        )
    return roots


def frozen(distribution: object) -> tuple[Distribution, ...]:
    """Return copies of a distribution's members that stay what they are when the policy's parameters move."""
    copies = []
    for name, member in members(distribution):
        _family(name, member)
        fixed = copy.copy(member)
        tensors = {key: value for key, value in vars(member).items() if isinstance(value, Tensor)}
        vars(fixed).update((key, value.detach().clone()) for key, value in tensors.items())
        copies.append(fixed)
    return tuple(copies)


def kl_from(old: tuple[Distribution, ...], distribution: object) -> Tensor:
    """Return KL(old || distribution) of each sample, (N,), in nats; `old` is from `frozen`."""
    new = [member for _, member in members(distribution)]
    if [type(member) for member in new] != [type(member) for member in old]:
        raise ValueError(
            f"distribution: expected {', '.join(map(_words, old))} as the first time, "
            f"got {', '.join(map(_words, new))}"
        )
    each = [kl_divergence(p, q) for p, q in zip(old, new, strict=True)]
    return torch.stack([kl.flatten(1).sum(1) if kl.ndim > 1 else kl for kl in each]).sum(0)


def members(distribution: object, name: str = "distribution") -> Iterator[tuple[str, Distribution]]:
    """Yield the distributions that the parameters belong to, with what a message calls them.

    An event that counts several axes is the sum over them, and a fixed bijection of the action changes
    neither the Fisher matrix nor a KL divergence: what is wrapped is taken out.
    """
    if isinstance(distribution, (list, tuple)):
        if not distribution:
            raise ValueError(f"{name}: expected at least one distribution, got an empty list")
        for place, member in enumerate(distribution):
            yield from members(member, f"{name}[{place}]")
    elif isinstance(distribution, Independent):
        yield from members(distribution.base_dist, name)
    elif isinstance(distribution, TransformedDistribution):
        for transform in distribution.transforms:
            _check_fixed_bijection(transform, f"{name}, {_words(transform)}")
        yield from members(distribution.base_dist, name)
    elif isinstance(distribution, OneHotCategorical):
        yield name, distribution._categorical
    elif isinstance(distribution, Beta):
        yield name, distribution._dirichlet
    elif isinstance(distribution, Distribution):
        yield name, distribution
    else:
        raise TypeError(f"{name}: expected a torch distribution, {SUPPORTED}; got {_words(distribution)}")


def _check_fixed_bijection(transform: Transform, name: str) -> None:
    if not transform.bijective:
        raise TypeError(f"{name}: expected a bijection, since any other changes the Fisher matrix")
    if isinstance(transform, torch.nn.Module) or any(tensor.requires_grad for tensor in _held_by(transform)):
        raise TypeError(f"{name}: expected a fixed bijection, got one with parameters that need a gradient")


def _held_by(holder: object) -> Iterator[Tensor]:
    """Yield the tensors of a transform and of those that it is made of; what it caches is not its own."""
    seen, waiting = set(), [holder]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, (list, tuple)):
            waiting.extend(one)
        elif isinstance(one, (Transform, Distribution)) and id(one) not in seen:  # an inverse holds its own
            seen.add(id(one))
            waiting.extend(value for key, value in vars(one).items() if not key.startswith("_cached"))


# --- each family: its parameters, and the roots of the Fisher matrices in them ---


def _normal(d: Any) -> list[Part]:
    """F = 1 / sigma^2 in loc and 2 / sigma^2 in scale."""
    return [
        (d.loc, lambda: d.scale.reciprocal()[..., None, None]),
        (d.scale, lambda: math.sqrt(2.0) * d.scale.reciprocal()[..., None, None]),
    ]


def _bernoulli(d: Any) -> list[Part]:
    """F = p (1 - p) in the logit; neither is a difference, so that no digits cancel."""
    return [(d.logits, lambda: (d.logits.sigmoid() * (-d.logits).sigmoid()).sqrt()[..., None, None])]


def _categorical(d: Any) -> list[Part]:
    """F = diag(p) - p p^T in the logits, of rank K - 1.

    Its Cholesky factor is known (Tanabe and Sagae, "An exact Cholesky decomposition and the generalized
    inverse of the variance-covariance matrix of the multinomial distribution, with applications", 1992): with
    the tails q_k = sum_{j >= k} p_j, column k is sqrt(p_k / q_k) (sqrt(q_{k+1}) e_k - p_j / sqrt(q_{k+1}) for
    j > k), the Fisher matrix of choosing k against all after it.  So K - 1 rows do, and no digits cancel.
    """

    def root() -> Tensor:
        p = d.probs
        if p.shape[-1] == 1:
            return torch.zeros_like(p)[..., None]  # a choice of one: a row of zeros
        tails = p.flip(-1).cumsum(-1).flip(-1)
        before, after = tails[..., :-1], tails[..., 1:].sqrt()
        share = torch.where(before > 0.0, p[..., :-1] / before, 0.0).sqrt()
        spread = torch.where(after > 0.0, -share / after, 0.0)  # what has no probability has no information
        factors: Tensor = (spread[..., :, None] * p[..., None, :]).triu_(1)
        factors.diagonal(dim1=-2, dim2=-1).copy_(share * after)
        return factors

    return [(d.logits, root)]


def _multivariate_normal(d: Any) -> list[Part]:
    """F = Sigma^-1 in loc.  In L, Sigma = L L^T, it is |A + A^T|^2 / 2 of A = L^-1 dL, which is triangular.

    That is sum_i 2 A_ii^2 + sum_{i > j} A_ij^2, with A_ij = sum_k (L^-1)_ik dL_kj.
    """
    size = d.loc.shape[-1]

    def inverse() -> Tensor:
        L = d.scale_tril
        identity = torch.eye(size, dtype=L.dtype, device=L.device)
        solved: Tensor = torch.linalg.solve_triangular(L, identity, upper=False)
        return solved

    def root_of_tril() -> Tensor:
        i, j = torch.tril_indices(size, size, device=d.loc.device)
        rows = inverse()[..., i, :] * torch.where(i == j, math.sqrt(2.0), 1.0).to(d.loc)[:, None]
        columns = torch.nn.functional.one_hot(j, size).to(d.loc)
        return (rows[..., :, None] * columns[:, None, :]).tril().flatten(-2)

    return [(d.loc, inverse), (d.scale_tril, root_of_tril)]


def _dirichlet(d: Any) -> list[Part]:
    """F = diag(psi'(a)) - psi'(sum a) 1 1^T in the concentrations a, of which a Beta has two.

    For large ones it is the difference of nearly equal numbers, so it is taken in float64.
    """

    def root() -> Tensor:
        a = d.concentration.double()
        F = torch.polygamma(1, a).diag_embed() - torch.polygamma(1, a.sum(-1))[..., None, None]
        factors: Tensor = torch.linalg.cholesky(F).mT
        return factors

    return [(d.concentration, root)]


FAMILIES: Mapping[type[Distribution], Callable[[Any], list[Part]]] = {
    Normal: _normal,
    MultivariateNormal: _multivariate_normal,
    Categorical: _categorical,
    Bernoulli: _bernoulli,
    Dirichlet: _dirichlet,
}


def _family(name: str, member: Distribution) -> Callable[[Any], list[Part]]:
    for kind in type(member).__mro__:
        if kind in FAMILIES:
            return FAMILIES[kind]
    raise TypeError(f"{name}: expected {SUPPORTED}; got {_words(member)}")


def _spread(parameter: Tensor, root: Tensor) -> Tensor:
    """Return the factors (m, N, ...) of a root (*batch, k, size): each is zero but in its own component."""
    samples, (k, size) = len(parameter), root.shape[-2:]
    local = root.reshape(samples, -1, k, size).permute(1, 2, 0, 3)  # component, factor, sample, entry
    components = len(local)
    factors = local.new_zeros(components, k, samples, components, size)
    factors.diagonal(dim1=0, dim2=3).copy_(local.movedim(0, -1))
    return factors.reshape(components * k, *parameter.shape).to(parameter.dtype)


def _words(value: object) -> str:
    return type(value).__name__
