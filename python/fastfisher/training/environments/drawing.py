"""Environments that draw images of themselves, and videos of episodes.

They draw also where there is neither a display nor a graphics card.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import gc
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.wrappers import RecordVideo

from ..config import TrainConfig
from ..errors import UserError
from .recipe import Env, bare_environment, recipe_for

_CAMERA_ARGUMENTS = {"camera_id", "camera_name", "default_camera_config"}


def drawing_environment(config: TrainConfig) -> Env:
    """Make the environment of a config with images for its rendering, and try one.

    MuJoCo's draws neither shadows nor reflections, which take three quarters of an image's time where the
    processor draws it, and its camera follows the robot, unless the config names one.  Where no image comes,
    the UserError says what to install.
    """
    # Time limit and noise are left to the agent, which puts them around an environment that it is given.
    config = config.replace(
        env_kwargs={**config.env_kwargs, "render_mode": "rgb_array"}, max_episode_steps=None, init_noise=0.0
    )
    with _headless_mujoco(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what GLFW says is in the error, too
        try:
            env = bare_environment(recipe_for(config.env, config))
        except UserError as error:
            if not isinstance(error.__cause__, TypeError):
                raise
            raise UserError(f"{config.env} has no render_mode 'rgb_array': it cannot be drawn") from error
        except Exception as error:  # MuJoCo loads its graphics as it is imported
            raise UserError(f"cannot draw {config.env}: {_graphics_advice(error)}") from error
        with _quiet_finalizers():
            problem = _problem(env)
            gc.collect()
            if problem:
                with contextlib.suppress(Exception):
                    env.close()
    if problem:
        raise UserError(f"cannot draw {config.env}: {problem}")
    _simplify(env, config)
    return env


def _problem(env: Env) -> str:
    """Draw once; return why that failed, or nothing.  No reference to what failed is left behind."""
    try:
        env.reset(seed=0)
        image = env.render()
    except gymnasium.error.DependencyNotInstalled as error:
        return " ".join(str(error).split())
    except Exception as error:  # graphics fail in ways of their own
        return _graphics_advice(error)
    return "" if isinstance(image, np.ndarray) else f"render() gave {type(image).__name__}, not an image"


def _graphics_advice(error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    backend = os.environ.get("MUJOCO_GL") or "unset"
    return (
        "no graphics library works here; without a display `apt install libegl1 libgl1` and set "
        "MUJOCO_GL=egl, or `apt install libosmesa6` and set MUJOCO_GL=osmesa "
        f"(with MUJOCO_GL {backend}: {reason})"
    )


@contextlib.contextmanager
def _headless_mujoco() -> Iterator[None]:
    """Choose how MuJoCo draws where there is no display and nobody has; it reads this as it starts.

    EGL draws on a graphics card, or with Mesa on the processor; OSMesa on the processor, just as fast.
    """
    headless = sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"} & os.environ.keys()
    if headless:
        only_osmesa = not ctypes.util.find_library("EGL") and ctypes.util.find_library("OSMesa")
        os.environ["MUJOCO_GL"] = "osmesa" if only_osmesa else "egl"
    try:
        yield
    finally:
        if headless:
            del os.environ["MUJOCO_GL"]


def _simplify(env: Env, config: TrainConfig) -> None:
    """Leave out what MuJoCo's environments draw slowly, and let their camera follow the robot."""
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    viewer = getattr(renderer, "viewer", None)
    if renderer is None or viewer is None:
        return
    import mujoco

    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        viewer.scn.flags[flag] = 0
    if not _CAMERA_ARGUMENTS & config.env_kwargs.keys():
        # gymnasium 1.4 takes another camera where none is named, and robots run out of its sight.
        camera = mujoco.mj_name2id(renderer.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        if camera >= 0:
            renderer.camera_id = camera


@contextlib.contextmanager
def _quiet_finalizers() -> Iterator[None]:
    """Drop what half-made viewers of gymnasium 1.4 say as they are collected (no opengl_context)."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


class Recorder(contextlib.AbstractContextManager["Recorder"]):
    """The environment of a config, recording the first episodes after each :meth:`begin`.

    The folder, made if need be, receives ``<kind>-episode-<n>.mp4``; files of these names are overwritten.
    It is a UserError where moviepy is missing or :func:`drawing_environment` raises one.
    """

    def __init__(self, config: TrainConfig, folder: Path, episodes: int) -> None:
        if importlib.util.find_spec("moviepy") is None:
            raise UserError("moviepy is not installed: pip install 'fastfisher[video]'")
        env = drawing_environment(config)
        self.videos: list[Path] = []
        """Files of the episodes so far."""
        self._folder, self._episodes = folder, episodes
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of a folder that exists
                self.env = RecordVideo(env, str(folder), episode_trigger=self._is_recorded)
        except OSError as error:
            env.close()
            raise UserError(f"cannot make {folder}: {error.strerror}; choose another --video") from error

    def _is_recorded(self, episode: int) -> bool:
        if episode >= self._episodes:
            return False
        self.videos.append(self._folder / f"{self.env.name_prefix}-episode-{episode}.mp4")
        return True

    def begin(self, kind: str) -> None:
        """Count the episodes from 0 again, under this name."""
        self.env.name_prefix = kind
        self.env.episode_id = -1

    def __exit__(self, *_: object) -> None:
        """Write what is still to be written."""
        self.env.close()  # type: ignore[no-untyped-call]
