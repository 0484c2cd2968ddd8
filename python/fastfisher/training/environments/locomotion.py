"""Gymnasium's MuJoCo robots that move about: what a wrapper which reaches into the simulator may count on."""

from __future__ import annotations

from typing import Any

import gymnasium

from ..errors import UserError

ROBOTS = ("Ant", "HalfCheetah", "Hopper", "Humanoid", "Swimmer", "Walker2d")
"""Each a torso (body 1) with limbs on joints of limited range, and a task that is to move forward."""


def locomotion(env: gymnasium.Env[Any, Any], purpose: str) -> Any:
    """Return the unwrapped robot.

    Parameters
    ----------
    env
        Any stack of wrappers around it.
    purpose
        What needs it, for the message.

    Raises
    ------
    UserError
        Where the environment is another one.
    """
    robot = env.unwrapped
    for kind in type(robot).__mro__:
        of_gymnasium = kind.__module__.startswith("gymnasium.envs.mujoco.")
        if of_gymnasium and kind.__name__.removesuffix("Env") in ROBOTS and hasattr(robot, "reset_model"):
            return robot
    name = robot.spec.id if robot.spec is not None else type(robot).__name__
    raise UserError(f"{purpose} knows gymnasium's {', '.join(ROBOTS)} (MuJoCo), and not {name}")
