"""Random configs on random environments: they train, the same whatever the workers, or say why not."""

from __future__ import annotations

import dataclasses
import functools
import types
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import gymnasium
import numpy as np
from calls import Array, chance, one_of
from driver import BrokenPromiseError, hold
from environments import AT_TIMES, HARMLESS, KILLING, WRONG, Random
from numpy.random import Generator

import fastfisher as ff
from fastfisher.arguments import Bounds
from fastfisher.exported import NumpyPolicy
from fastfisher.runs.export import export_policy
from fastfisher.training.config import TrainConfig
from fastfisher.training.errors import UserError, WorkerError
from fastfisher.training.evaluation import evaluation_seed

SHARE, OFTEN = 0.15, {"evaluate_every": 0.4, "skip_bad_episodes": 0.3, "action_units": 0.3}
"""The share of cases in which a field is set, and the larger ones of some."""
LEFT_OUT = (
    "env", "env_kwargs", "algorithm", "seed", "preset", "backend", "init_noise", "steps", "workers",
    "target_return",
)  # fmt: skip
OF_SMALL_RUNS: dict[str, tuple[Any, ...]] = {
    "batch_steps": (1, 7, 40, 100),
    "gamma": (0.0, 0.9, 1.0),
    "hidden": ((), (3,), (4, 2)),
    "baseline_hidden": ((), (3,)),
    "baseline_steps": (1, 2),
    "baseline_batches": (1, 2),
    "rbf_features": (1, 10),
    "num_envs": (0, 1, 2, 3),
    "max_episode_steps": (1, 2, 20),
    "worker_timeout": (20.0,),
    "cg_iterations": (1, 5, None),
    "min_log_std": (-3.0, -1.0, -8.0),
    "final_min_log_std": (-4.0, None),
    "evaluate_every": (1, 1, 2),
    "evaluation_episodes": (1, 3),
    "initial_log_std": (-1.0, 0.5, None),
}
"""Values of the fields of which others would make a case long, or senseless."""


def random_fields(rng: Generator) -> dict[str, Any]:
    """Return values of some of the config's fields, whichever it has, within their bounds."""
    fields: dict[str, Any] = {"batch_steps": 40, "hidden": (4,), "rbf_features": 10}
    hints = get_type_hints(TrainConfig, include_extras=True)
    for field in dataclasses.fields(TrainConfig):
        if field.name in LEFT_OUT or not chance(rng, OFTEN.get(field.name, SHARE)):
            continue
        values = OF_SMALL_RUNS.get(field.name)
        fields[field.name] = _value(rng, hints[field.name]) if values is None else one_of(rng, values)
    fields["policy"] = one_of(rng, ("linear", "rbf", "mlp"))
    return fields


def _value(rng: Generator, hint: Any) -> Any:
    """Return a value of a field by its annotation."""
    bounds = Bounds()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        bounds = next((extra for extra in extras if isinstance(extra, Bounds)), bounds)
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kind = one_of(rng, kinds)
    if get_origin(kind) is Literal:
        return one_of(rng, get_args(kind))
    if kind is bool:
        return chance(rng, 0.5)
    inside = [value for value in (0.0, 1e-6, 0.01, 0.3, 0.9, 1.0, 3.0, 10.0) if value in bounds]
    if kind is float:
        return one_of(rng, inside)
    return int(one_of(rng, [value for value in inside if value == int(value)])) if kind is int else None


def state_of(agent: ff.NPG) -> dict[str, Array]:
    """Return all that training has moved."""
    return agent._learner.state()


def same_state(one: dict[str, Array], other: dict[str, Array]) -> bool:
    """Tell whether two states are the same to the bit."""
    return one.keys() == other.keys() and all(
        (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        for a, b in ((one[name], other[name]) for name in one)
    )


def run(rng: Generator) -> str:
    """Run a case: a config on an environment, which breaks the rules in one case of four."""
    warnings.simplefilter("ignore")
    wrong = one_of(rng, list(WRONG)) if chance(rng, 0.25) else ""
    environment = functools.partial(
        Random, int(rng.integers(2**31)), wrong, one_of(rng, (None, None, 5)), chance(rng, 0.3)
    )
    kind, fields = one_of(rng, (ff.NPG, ff.TRPO)), random_fields(rng)
    workers = 2 if chance(rng, 0.5) or wrong == KILLING else 1
    if wrong in (KILLING, AT_TIMES):  # copies live in this process, and cannot skip an episode
        fields.pop("num_envs", None)
    if environment.args[-1]:  # what it forbids is an error of its own
        fields.pop("action_masks", None)
    told = f"of {_describe(environment, fields)}"
    at_fault = ""  # the environment is, once there is an agent
    try:
        with kind(environment, workers=workers, **fields) as agent:
            at_fault = wrong
            return _train(rng, agent, environment, fields, wrong)
    except BrokenPromiseError as broken:
        raise BrokenPromiseError(f"{broken}\n{told}") from None
    except Exception as error:
        hold(_is_refused_well(error, at_fault), f"{type(error).__name__}: {error}\n{told}")
        return f"{at_fault.split()[0]} refused" if at_fault else type(error).__name__
    except SystemExit:
        raise BrokenPromiseError(f"the environment has ended the trainer\n{told}") from None


def _describe(environment: functools.partial[Random], fields: dict[str, Any]) -> str:
    env = environment()
    return f"Random{environment.args}: {env.observation_space} -> {env.action_space}, {fields}"


def _is_refused_well(error: Exception, wrong: str) -> bool:
    """Tell whether an error is one that training may end with."""
    if isinstance(error, WorkerError):  # which brings the traceback of the worker
        return bool(wrong)
    if wrong.endswith("raises") and isinstance(error, ZeroDivisionError):
        return True
    if not isinstance(error, (UserError, TypeError, ValueError)) or isinstance(error, np.linalg.LinAlgError):
        return False
    words = str(error)
    named = (wrong.partition(" ")[0], "step", "reset", "asked to end the program")
    return "\n" not in words and (not wrong or any(word in words for word in named))


def _train(
    rng: Generator, agent: ff.NPG, environment: functools.partial[Random], fields: dict[str, Any], wrong: str
) -> str:
    """Train two iterations, once through and once with a stop between; look at what comes of it."""
    best = "best.zip" if agent.config.evaluate_every else None
    agent.learn(1, keep_best=best)
    agent.save("agent.zip")
    first = state_of(agent)
    agent.learn(1, keep_best=best)
    hold(not wrong or wrong in HARMLESS, f"trained in spite of an {wrong}")
    for name, array in state_of(agent).items():
        hold(np.isfinite(array).all(), f"{name} is not finite")
    if wrong == AT_TIMES:
        hold(agent.config.skip_bad_episodes, "a NaN was taken for a reward")
    else:
        _act(rng, agent, environment())
        if best is not None:
            _look_at_the_best(agent, environment())
    _export(agent, environment())
    with type(agent)(environment, **{**fields, "workers": 1, "evaluate_every": 0}) as other:
        other.learn(1)
        hold(same_state(first, state_of(other)), f"{agent.workers} workers and one, unevaluated: other bits")
    with ff.NPG.load("agent.zip", environment) as loaded:
        hold(same_state(first, state_of(loaded)), "saved and loaded: other bits")
        hold(loaded.config == agent.config, "saved and loaded: another config")
        loaded.config = loaded.config.replace(workers=1)
        loaded.learn(1)
        hold(same_state(state_of(agent), state_of(loaded)), "saved, loaded and trained: other bits")
        for name in ("best_return", "best_iteration", "steps", "episodes"):
            hold(getattr(agent, name) == getattr(loaded, name), f"saved, loaded and trained: another {name}")
    return "trained"


def _look_at_the_best(agent: ff.NPG, env: Random) -> None:
    """Load the best policy so far; play the episodes of its evaluation by hand."""
    hold(agent.best_iteration == 0 or np.isfinite(agent.best_return), "the best return is not finite")
    if agent.best_iteration == 0:  # only the second iteration is evaluated, and was cut
        hold(not Path("best.zip").exists(), "a policy that was not evaluated is the best")
        return
    with ff.NPG.load("best.zip", lambda: env) as best:
        hold(best.iteration == agent.best_iteration, "best.zip is of another iteration")
        totals = []
        for episode in range(best.config.evaluation_episodes):
            observation, _ = env.reset(seed=evaluation_seed(best.config.seed, best.iteration, episode))
            total, steps, over = 0.0, 0, False
            while not over and steps < best._longest:
                masks = env.action_masks() if env.masked and best.config.action_masks else None
                action, _ = best.predict(observation, deterministic=True, action_masks=masks)
                observation, reward, terminated, truncated, _ = env.step(action)
                total, steps, over = total + float(reward), steps + 1, terminated or truncated
            totals.append(total)
        off = abs(np.mean(totals) - agent.best_return)
        hold(
            off <= 1e-6 * env.reward_scale * best._longest,
            f"best.zip returns {totals}, not {agent.best_return}",
        )


def _act(rng: Generator, agent: ff.NPG, env: gymnasium.Env[Any, Any]) -> None:
    """Ask for actions for one observation and for several."""
    if chance(rng, 0.5):
        evaluation = agent.evaluate(2, deterministic=chance(rng, 0.5))
        hold(np.isfinite(evaluation.returns).all(), "a return is not finite")
    env.observation_space.seed(0)
    observations = [env.observation_space.sample() for _ in range(3)]
    for deterministic in (True, False):
        one, _ = agent.predict(observations[0], deterministic=deterministic)
        hold(env.action_space.contains(_as_sampled(env.action_space, one)), f"predict: {one!r} is no action")
    several, _ = agent.predict(observations, deterministic=True)
    hold(
        isinstance(several, (dict, tuple)) or len(several) == 3,
        f"predict: {several!r} for three observations",
    )


def _as_sampled(space: gymnasium.Space[Any], action: Any) -> Any:
    return np.int64(action) if isinstance(space, gymnasium.spaces.Discrete) else action


def _export(agent: ff.NPG, env: gymnasium.Env[Any, Any]) -> None:
    """Write the policy for NumPy alone, and compare what it does."""
    try:
        export_policy(agent, "policy.npz")
    except UserError as error:
        hold("\n" not in str(error), f"export: {error}")
        return
    policy = NumpyPolicy.load(Path("policy.npz"))
    for _ in range(3):
        observation = env.observation_space.sample()
        here, there = agent.predict(observation, deterministic=True)[0], policy.predict(observation)
        hold(
            env.action_space.contains(_as_sampled(env.action_space, there)),
            f"exported: {there!r} is no action",
        )
        for a, b in zip(_leaves(here), _leaves(there), strict=True):
            hold(np.allclose(a, b, rtol=1e-9, atol=1e-9), f"exported: the action is {there!r}, not {here!r}")


def _leaves(action: Any) -> list[Array]:
    """Return the arrays of an action, which may be a tuple or dict of them."""
    parts = action.values() if isinstance(action, dict) else action if isinstance(action, tuple) else None
    return [np.asarray(action)] if parts is None else [leaf for part in parts for leaf in _leaves(part)]
