"""MuJoCo's warnings about gymnasium's own models, kept out of the user's way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gymnasium.envs.registration import EnvSpec

_LOGGER = logging.getLogger(__name__)


@contextmanager
def model_warnings_logged(spec: EnvSpec | None) -> Iterator[None]:
    """Send MuJoCo's warnings to Python's log while a registered MuJoCo environment is made.

    MuJoCo 4 says of each model file that ships with gymnasium which of its attributes are
    deprecated: on the terminal, once for each process, and in a file MUJOCO_LOG.TXT in the working
    directory.  Warnings of the simulation itself, which comes later, go where they always go.
    """
    if spec is None or "mujoco" not in str(spec.entry_point):
        yield
        return
    try:
        import mujoco
    except ImportError:
        # The environment's own message about what to install is better.
        yield
        return
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_LOGGER.debug)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(handler)
