"""Initial states more diverse than the environment's own (arXiv 1703.02660, section 5)."""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.random import Generator

from ..batch import Array
from ..errors import UserError

ROBOTS = ("Ant", "HalfCheetah", "Hopper", "Humanoid", "Swimmer", "Walker2d")
"""Each a torso (body 1) with limbs on joints of limited range, and a task that is to move forward."""

TILT = 0.5
"""Radians that the torso is tilted by at most, at a scale of 1."""
DROP = 0.2
"""Meters above the ground that the robot is put at most, at a scale of 1."""
DRAWS_A_SCALE = 8
"""Unhealthy initial states to refuse before the scale is halved."""
HALVINGS = 12
"""Scales to try before the environment's own state is taken."""


def locomotion(env: gymnasium.Env[Any, Any], purpose: str) -> Any:
    """Return the robot in a stack of wrappers; a UserError names the purpose where it is none."""
    robot = env.unwrapped
    for kind in type(robot).__mro__:
        of_gymnasium = kind.__module__.startswith("gymnasium.envs.mujoco.")
        if of_gymnasium and kind.__name__.removesuffix("Env") in ROBOTS and hasattr(robot, "reset_model"):
            return robot
    name = robot.spec.id if robot.spec is not None else type(robot).__name__
    raise UserError(f"{purpose} knows gymnasium's {', '.join(ROBOTS)} (MuJoCo), and not {name}")


class InitNoise(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A MuJoCo robot whose episodes start in all sorts of states.

    After the environment's own reset, whose noise is small, every limb's joint is moved a share of the way to
    an angle uniform in its range, the torso is tilted, the robot is raised out of the ground, where it is in
    it, and then a little more, and all velocities get normal noise.  States that the environment calls
    unhealthy, which would end the episode at once, are drawn again; after each 8 of them at half the scale.

    The noise comes from the environment's generator after its own draws: an initial state is a function of
    the seed of the reset.  It happens in the simulator, so infos, and what wrappers inside and outside of
    this one observe, are of the perturbed state.

    Parameters
    ----------
    env
        One of :data:`ROBOTS`, in any wrappers.
    scale
        1: limbs anywhere in their range, tilts of up to 0.5 rad, drops of up to 0.2 m,
        velocities of 1 m/s and 1 rad/s (standard deviations).

    Raises
    ------
    UserError
        Where the environment is another one.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], scale: float) -> None:
        super().__init__(env)
        self._robot = locomotion(env, "init_noise")
        self._scale = scale

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        # While this lasts, the robot's way to set its state and to observe it is this one.
        self._robot.reset_model = self._reset_model
        try:
            return self.env.reset(**options)
        finally:
            vars(self._robot).pop("reset_model", None)

    def _reset_model(self) -> Any:
        robot = self._robot
        observation = type(robot).reset_model(robot)
        own_qpos, own_qvel = robot.data.qpos.copy(), robot.data.qvel.copy()
        depth = _penetration(robot.model, robot.data)
        rng = robot.np_random
        for draw in range(HALVINGS * DRAWS_A_SCALE):
            scale = self._scale * 0.5 ** (draw // DRAWS_A_SCALE)
            qpos = _perturbed_pose(robot.model, own_qpos, scale, rng)
            qvel = own_qvel + scale * rng.standard_normal(len(own_qvel))
            drop = DROP * scale * rng.random()
            robot.set_state(qpos, qvel)
            _lift(robot, depth, drop)
            if getattr(robot, "is_healthy", True):
                return robot._get_obs()
        robot.set_state(own_qpos, own_qvel)
        return observation


def _perturbed_pose(model: Any, qpos: Array, scale: float, rng: Generator) -> Array:
    """Move limbs towards random angles and tilt the torso; where the robot stands is left as it is."""
    pose = qpos.copy()
    share = min(scale, 1.0)
    for joint in range(model.njnt):
        kind, at = model.jnt_type[joint], model.jnt_qposadr[joint]
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            angle = rng.uniform(0.0, 2.0 * np.pi)
            axis = np.array([np.cos(angle), np.sin(angle), 0.0])
            tilt, tilted = np.empty(4), np.empty(4)
            mujoco.mju_axisAngle2Quat(tilt, axis, TILT * scale * rng.random())
            mujoco.mju_mulQuat(tilted, tilt, pose[at + 3 : at + 7])
            pose[at + 3 : at + 7] = tilted
        elif kind == mujoco.mjtJoint.mjJNT_HINGE and model.jnt_limited[joint]:
            pose[at] += share * (rng.uniform(*model.jnt_range[joint]) - pose[at])
        elif kind == mujoco.mjtJoint.mjJNT_HINGE:
            pose[at] += TILT * scale * rng.uniform(-1.0, 1.0)
    return pose


def _penetration(model: Any, data: Any) -> float:
    """Return how deep the robot is in the ground, in meters; 0 where it is not."""
    depths = [-contact.dist for contact in data.contact if 0 in (model.geom_bodyid[g] for g in contact.geom)]
    return max(0.0, *depths) if depths else 0.0


def _lift(robot: Any, depth: float, drop: float) -> None:
    """Raise the robot until it is no deeper in the ground than ``depth``, and then by ``drop``.

    One that does not move up and down, a swimmer, stays.
    """
    height = _height_index(robot.model)
    if height is None:
        return
    # This takes a few rounds, since contacts are found for one point of a geometry at a time.
    for _ in range(4):
        too_deep = _penetration(robot.model, robot.data) - depth
        if too_deep <= 0.0:
            break
        robot.data.qpos[height] += too_deep
        mujoco.mj_forward(robot.model, robot.data)
    robot.data.qpos[height] += drop
    mujoco.mj_forward(robot.model, robot.data)


def _height_index(model: Any) -> int | None:
    """Return where in qpos the height of the torso is."""
    for joint in range(model.njnt):
        at = int(model.jnt_qposadr[joint])
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            return at + 2
        vertical = abs(model.jnt_axis[joint][2]) > 0.5
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE and vertical:
            return at
    return None
