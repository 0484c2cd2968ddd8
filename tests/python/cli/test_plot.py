"""Learning curves: grouping, labels, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from fastfisher.runs.curves import Run as LoadedRun
from fastfisher.runs.curves import bootstrap_interval, curves, interquartile_mean, read_run
from fastfisher.training.config import TrainConfig

from .helpers import Run

PNG = b"\x89PNG\r\n\x1a\n"


def loaded(seed: int, at: list[float], returns: list[float], **fields: object) -> LoadedRun:
    """Make a run out of nothing; an iteration takes a second."""
    config = TrainConfig("CartPole-v1", seed=seed, policy="linear", gamma=0.995).replace(**fields)
    seconds = np.arange(1.0, len(at) + 1)
    return LoadedRun(config, np.array(at), seconds, np.array(returns), np.ones(len(at)))


def test_single_run_keeps_its_own_spread() -> None:
    (curve,) = curves([loaded(4, [10.0, 20.0], [1.0, 2.0])])
    assert curve.label == "linear, seed 4"
    np.testing.assert_array_equal(curve.center, [1.0, 2.0])
    np.testing.assert_array_equal(curve.low, [0.0, 1.0])
    np.testing.assert_array_equal(curve.high, [2.0, 3.0])


def test_seeds_become_one_curve_over_common_steps() -> None:
    runs = [loaded(0, [10.0, 20.0, 30.0], [0.0, 10.0, 20.0]), loaded(1, [20.0, 40.0], [20.0, 40.0])]
    (curve,) = curves(runs)
    assert curve.label == "linear, 2 seeds"
    np.testing.assert_array_equal(curve.x, [20.0, 30.0])
    np.testing.assert_allclose(curve.center, [15.0, 25.0])
    # Of two runs, a resample is one of them twice with probability 1/4: the interval is all there is.
    np.testing.assert_allclose([curve.low, curve.high], [[10.0, 20.0], [20.0, 30.0]])
    (curve,) = curves(runs, "seconds")
    np.testing.assert_array_equal(curve.x, [1.0, 2.0])
    np.testing.assert_allclose(curve.center, [10.0, 25.0])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
def test_interquartile_mean_is_the_trimmed_mean(count: int) -> None:
    values = np.random.default_rng(count).normal(size=(count, 7))
    np.testing.assert_allclose(interquartile_mean(values), scipy.stats.trim_mean(values, 0.25, axis=0))


def test_bootstrap_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(9, 3)) * (1.0, 10.0, 0.0) + (0.0, 5.0, 7.0)
    low, high = bootstrap_interval(values, resamples=20_000)
    expected = scipy.stats.bootstrap(
        (values[:, :2],),
        lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis),
        axis=0,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    # Nine values have few interquartile means, so a quantile of them may jump by one.
    scale = values[:, :2].std(axis=0)
    np.testing.assert_allclose(low[:2] / scale, expected.low / scale, atol=0.06)
    np.testing.assert_allclose(high[:2] / scale, expected.high / scale, atol=0.06)
    assert (low[2], high[2]) == (7.0, 7.0)
    # A function of its arguments, however the columns are taken.
    np.testing.assert_array_equal(bootstrap_interval(values[:, :1], resamples=20_000)[0], low[:1])


def test_labels_name_what_differs() -> None:
    runs = [
        loaded(0, [1.0], [1.0]),
        loaded(0, [1.0], [1.0], gamma=0.9),
        loaded(1, [1.0], [1.0], gamma=0.9, steps=5, preset=True),
    ]
    assert [curve.label for curve in curves(runs)] == [
        "linear, gamma 0.995, seed 0",
        "linear, gamma 0.9, 2 seeds",
    ]


def test_folder_of_seeds_wall_time_and_references(run: Run, train: Run) -> None:
    for seed in (0, 1):
        # Ten iterations each: one seed's first is not slower than all of the other's, whatever the load.
        assert train("--steps", 4_000, "--seed", seed, "--out", f"runs/a/seed{seed}").code == 0
    result = run(
        "plot",
        "runs/a",
        "--x",
        "seconds",
        "--reference",
        "paper=475",
        "--reference",
        "a=b=3",
        "--out",
        "a.svg",
    )
    assert (result.code, result.out) == (0, "a.svg\n"), result.err
    image = Path("a.svg").read_text()
    for words in ("mlp, 2 seeds", "interquartile mean", "wall time of the iterations [s]", "paper", "a=b"):
        assert words in image
    # The curve that is left in the folder is no run, and does not stop a second look.
    assert run("plot", "runs/a").out == "runs/a/curve.png\n"
    assert run("plot", *Path("runs/a").iterdir()).out == "curves.png\n"


def test_references_that_cannot_be_drawn(run: Run, train: Run) -> None:
    assert train("--steps", 400, "--out", "a").code == 0
    assert run("train", "Acrobot-v1", "--steps", 1000, "--workers", 1, "--out", "b").code == 0
    for words, message in (
        (("a", "--reference", "475"), "--reference: expected NAME=VALUE, e.g. paper=3810, got 475"),
        (("a", "--reference", "best=high"), "got best=high"),
        (("a", "b", "--reference", "paper=475"), "one environment"),
    ):
        result = run("plot", *words)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert message in result.err


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
    assert "mlp, 2 seeds" in Path("two.svg").read_text()
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
