"""Videos of episodes, through gymnasium's recorder."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium
import numpy as np
from gymnasium.wrappers import RecordVideo

from ..config import TrainConfig
from .environment import Env, make_environment, recipe_for
from .errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self


class Recorder:
    """The environment of a config, recording the first episodes after each :meth:`begin`.

    Parameters
    ----------
    config
        Names the environment.
    folder
        Receives ``<kind>-episode-<n>.mp4``; made if need be, files of these names overwritten.
    episodes
        How many to record of each kind.

    Raises
    ------
    UserError
        Where moviepy is missing, the environment draws no images, or it cannot draw here.
    """

    def __init__(self, config: TrainConfig, folder: Path, episodes: int) -> None:
        if importlib.util.find_spec("moviepy") is None:
            raise UserError("moviepy is not installed: pip install 'fastfisher[video]'")
        env = _drawing_environment(config)
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

    def __enter__(self) -> Self:
        """Return the recorder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is still to be written."""
        self.env.close()  # type: ignore[no-untyped-call]


def _drawing_environment(config: TrainConfig) -> Env:
    """Make the environment with images for its rendering, and try one."""
    with _headless_mujoco(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what GLFW says is in the error, too
        try:
            env = make_environment(recipe_for(config.env, {**config.env_kwargs, "render_mode": "rgb_array"}))
        except UserError as error:
            if not isinstance(error.__cause__, TypeError):
                raise
            raise UserError(f"{config.env} has no render_mode 'rgb_array': it cannot be recorded") from error
        except Exception as error:  # MuJoCo loads its graphics as it is imported
            raise UserError(f"cannot record {config.env}: {_graphics_advice(error)}") from error
        with _quiet_finalizers():
            problem = _problem(env)
            gc.collect()
            if problem:
                with contextlib.suppress(Exception):
                    env.close()
    if problem:
        raise UserError(f"cannot record {config.env}: {problem}")
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
    return (
        f"drawing failed with MUJOCO_GL={os.environ.get('MUJOCO_GL', '')} ({reason}); without a display "
        "use MUJOCO_GL=egl (apt install libegl1 libgl1) or "
        "MUJOCO_GL=osmesa (apt install libosmesa6 and pip install PyOpenGL)"
    )


@contextlib.contextmanager
def _headless_mujoco() -> Iterator[None]:
    """Let MuJoCo draw by EGL where there is no display and nobody has chosen; it reads this as it starts."""
    headless = sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"} & os.environ.keys()
    if headless:
        os.environ["MUJOCO_GL"] = "egl"
    try:
        yield
    finally:
        if headless:
            del os.environ["MUJOCO_GL"]


@contextlib.contextmanager
def _quiet_finalizers() -> Iterator[None]:
    """Drop what half-made viewers of gymnasium 1.4 say as they are collected (no opengl_context)."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook
