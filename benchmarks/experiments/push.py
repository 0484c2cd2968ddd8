"""A push in the middle of an episode, to see what a policy does about it."""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np

from fastfisher.training.environments.init_noise import locomotion

TORSO = 1
"""The body that is pushed."""


class Push(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A MuJoCo robot whose torso is pushed sideways for a while.

    The force is constant and horizontal, its direction uniform, or forward or backward for a robot of planar
    joints.  The direction is drawn after the reset from the environment's generator, so it is a function of
    the reset's seed.

    Parameters
    ----------
    env
        A robot that :func:`locomotion` knows, in any wrappers.
    strength
        The force, in weights of the robot.
    start, duration
        The push's beginning and length in simulated seconds, rounded to the environment's steps.

    Raises
    ------
    UserError
        Where the environment is another one.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], strength: float, start: float, duration: float = 0.5
    ) -> None:
        super().__init__(env)
        self._robot = robot = locomotion(env, "a push")
        self.first = round(start / robot.dt)
        """The step at which the push begins."""
        self.last = self.first + max(1, round(duration / robot.dt))
        """The step after the push's last."""
        model = robot.model
        self._force = strength * float(model.body_mass.sum()) * float(np.linalg.norm(model.opt.gravity))
        self._planar = not (model.jnt_type == mujoco.mjtJoint.mjJNT_FREE).any()
        self._direction = np.zeros(3)
        self._step = 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Start an episode and choose the direction."""
        result = self.env.reset(**options)
        angle = self._robot.np_random.uniform(0.0, 2.0 * np.pi)
        x, y = np.cos(angle), np.sin(angle)
        self._direction = np.array([np.copysign(1.0, x), 0.0, 0.0] if self._planar else [x, y, 0.0])
        self._step = 0
        self._robot.data.xfrc_applied[TORSO] = 0.0
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step, under the force while it lasts."""
        pushed = self.first <= self._step < self.last
        self._robot.data.xfrc_applied[TORSO, :3] = self._force * self._direction if pushed else 0.0
        self._step += 1
        return self.env.step(action)
