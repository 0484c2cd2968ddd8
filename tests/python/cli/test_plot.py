"""Learning curves: grouping, labels, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastfisher.config import TrainConfig
from fastfisher.curves import Run as LoadedRun
from fastfisher.curves import curves, read_run

from .helpers import Run

PNG = b"\x89PNG\r\n\x1a\n"


def loaded(seed: int, at: list[float], returns: list[float], **fields: object) -> LoadedRun:
    """Make a run out of nothing."""
    config = TrainConfig("CartPole-v1", seed=seed).replace(**fields)
    return LoadedRun(config, np.array(at), np.array(returns), np.ones(len(at)))


def test_single_run_keeps_its_own_spread() -> None:
    (curve,) = curves([loaded(4, [10.0, 20.0], [1.0, 2.0])])
    assert curve.label == "linear, seed 4"
    np.testing.assert_array_equal(curve.mean, [1.0, 2.0])
    np.testing.assert_array_equal(curve.spread, [1.0, 1.0])


def test_seeds_become_their_mean_over_common_steps() -> None:
    (curve,) = curves(
        [loaded(0, [10.0, 20.0, 30.0], [0.0, 10.0, 20.0]), loaded(1, [20.0, 40.0], [20.0, 40.0])]
    )
    assert curve.label == "linear, 2 seeds"
    np.testing.assert_array_equal(curve.steps, [20.0, 30.0])
    np.testing.assert_allclose(curve.mean, [15.0, 25.0])
    np.testing.assert_allclose(curve.spread, np.std([[10.0, 20.0], [20.0, 30.0]], axis=0, ddof=1))


def test_labels_name_what_differs() -> None:
    runs = [
        loaded(0, [1.0], [1.0]),
        loaded(0, [1.0], [1.0], gamma=0.9),
        loaded(1, [1.0], [1.0], gamma=0.9, steps=5),
    ]
    assert [curve.label for curve in curves(runs)] == [
        "linear, gamma 0.995, seed 0",
        "linear, gamma 0.9, 2 seeds",
    ]


def test_plot_draws_and_prints_the_path(run: Run, train: Run) -> None:
    for seed in (0, 1):
        assert train("--steps", 800, "--seed", seed, "--out", f"runs/{seed}").code == 0
    assert run("train", "Acrobot-v1", "--steps", 1000, "--workers", 1, "--out", "runs/a").code == 0
    one = run("plot", "runs/0")
    assert (one.code, one.out) == (0, "runs/0/curve.png\n")
    # Where the default file of several goes, `runs/*` still names runs alone the next time.
    for _ in range(2):
        several = run("plot", *sorted(Path("runs").iterdir()))
        assert (several.code, several.out) == (0, "curves.png\n")
    assert Path("curves.png").read_bytes().startswith(PNG)
    vector = run("plot", "runs/0", "runs/1", "--out", "two.svg")
    assert vector.code == 0
    assert "linear, 2 seeds" in Path("two.svg").read_text()
    assert [p.name for p in Path().iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("out", "part"), [("a.bmp2", ".png, .pdf or .svg"), ("nowhere/a.png", "nowhere/a.png")]
)
def test_bad_names_of_images(run: Run, train: Run, out: str, part: str) -> None:
    assert train("--steps", 400, "--out", "a").code == 0
    result = run("plot", "a", "--out", out)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert part in result.err


def test_cut_last_line_is_ignored(train: Run) -> None:
    assert train("--steps", 800, "--out", "a").code == 0
    whole = read_run(Path("a"))
    with Path("a/progress.csv").open("a") as file:
        file.write("3,12")
    assert len(read_run(Path("a")).steps) == len(whole.steps)
