"""``fastfisher evaluate --video``."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from .helpers import Result, Run

# An environment that draws without graphics, in a module that its id names.
DRAWING = """
import gymnasium
import numpy as np

class Drawing(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, render_mode=None, broken=False):
        self.render_mode, self.broken = render_mode, broken

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        observation = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return observation, float(observation @ (action[0], 1.0)), False, False, {}

    def render(self):
        if self.broken:
            raise RuntimeError("no OpenGL here")
        return np.zeros((64, 64, 3), np.uint8)

class Blind(Drawing):
    def __init__(self):
        super().__init__()

for kind in (Drawing, Blind):
    gymnasium.register(f"{kind.__name__}-v0", kind, max_episode_steps=20)
"""


@pytest.fixture
def drawing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Make the environments known."""
    (tmp_path / "drawing.py").write_text(DRAWING)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("drawing")
    return run


def trained(run: Run, env: str, *words: str) -> None:
    """Train a little into the folder a."""
    result = run("train", f"drawing:{env}", "--steps", 100, "--workers", 1, "--out", "a", "--quiet", *words)
    assert result.code == 0, result.err


def assert_refused(result: Result, *parts: str) -> None:
    """One line, no traceback, no table."""
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result
    for part in parts:
        assert part in result.err


def test_first_episodes_of_each_kind_are_recorded(drawing: Run) -> None:
    pytest.importorskip("moviepy")
    trained(drawing, "Drawing-v0")
    words = ("evaluate", "a", "--episodes", 3, "--json")
    plain = json.loads(drawing(*words).out)
    for _ in range(2):  # the second time, the files are replaced
        result = drawing(*words, "--video", "clips", "--video-episodes", 2)
        assert result.code == 0, result.err
        assert result.err == ""
    recorded = json.loads(result.out)
    videos = recorded.pop("videos")
    assert videos == [
        f"clips/{kind}-episode-{n}.mp4" for kind in ("deterministic", "stochastic") for n in (0, 1)
    ]
    assert recorded == plain  # being watched changes nothing
    assert sorted(map(str, Path("clips").iterdir())) == videos
    for video in videos:
        assert Path(video).read_bytes()[4:8] == b"ftyp"


def test_environment_that_cannot_draw(drawing: Run) -> None:
    pytest.importorskip("moviepy")
    trained(drawing, "Blind-v0")
    assert_refused(drawing("evaluate", "a", "--video", "clips"), "Blind-v0", "rgb_array")


def test_missing_graphics_say_what_to_install(drawing: Run) -> None:
    pytest.importorskip("moviepy")
    trained(drawing, "Drawing-v0", "--env-kwargs", '{"broken": true}')
    result = drawing("evaluate", "a", "--video", "clips")
    assert_refused(result, "no OpenGL here", "MUJOCO_GL=egl", "libosmesa6", "apt install")
    assert not Path("clips").exists()


def test_missing_moviepy_says_what_to_install(drawing: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(drawing, "Drawing-v0")
    monkeypatch.setitem(sys.modules, "moviepy", None)
    assert_refused(drawing("evaluate", "a", "--video", "clips"), "pip install 'fastfisher[video]'")


# In a process of its own: MuJoCo chooses its graphics once, as it is imported.
DRAW_MUJOCO = """
import numpy as np
from fastfisher.training.config import TrainConfig
from fastfisher.training.environments.drawing import drawing_environment
env = drawing_environment(TrainConfig("HalfCheetah-v5", env_kwargs={"width": 64, "height": 48}))
# The camera follows: where the robot has gone far, the image is that of the robot and not of its absence.
robot, images = env.unwrapped, []
for x in (0.0, 100.0):
    env.reset(seed=1)
    robot.set_state(robot.init_qpos + np.eye(9)[0] * x, robot.init_qvel)
    images.append(env.render().astype(float))
skin = [((image[..., 0] - image[..., 2]) > 40.0).sum() for image in images]
print(images[0].shape, min(skin) > 50)
"""


def draw_mujoco(monkeypatch: pytest.MonkeyPatch, **variables: str) -> subprocess.CompletedProcess[str]:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return subprocess.run([sys.executable, "-c", DRAW_MUJOCO], capture_output=True, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MuJoCo draws without a choice of libraries")
def test_mujoco_is_drawn_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw_mujoco(monkeypatch)
    if "no graphics library works here" in drawn.stderr:
        pytest.skip(drawn.stderr.splitlines()[-1])
    assert (drawn.returncode, drawn.stdout) == (0, "(48, 64, 3) True\n"), drawn.stderr


def test_mujoco_without_graphics_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = draw_mujoco(monkeypatch, MUJOCO_GL="none-such")
    assert refused.returncode == 1
    sentence = refused.stderr.splitlines()[-1]
    assert sentence.startswith("fastfisher.training.errors.UserError: cannot draw HalfCheetah-v5")
    assert "apt install libegl1 libgl1" in sentence
    assert "none-such" in sentence
