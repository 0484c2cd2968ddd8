"""Videos of episodes, through gymnasium's recorder."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from gymnasium.wrappers import RecordVideo

from ..config import TrainConfig
from ..errors import UserError
from .drawing import drawing_environment

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

    def __enter__(self) -> Self:
        """Return the recorder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is still to be written."""
        self.env.close()  # type: ignore[no-untyped-call]
