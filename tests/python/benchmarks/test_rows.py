"""The suites' rows: that they can be run, and that they are those of the paper and of the libraries."""

from __future__ import annotations

import gymnasium
import pytest
from suites.results import Seed, describe, differences, read_json
from suites.rows import PAPER, POLICIES, PUBLISHED, ROWS, SUITES, TASKS, Row, env_kwargs, goal, rows_of
from suites.training import full_config

from fastfisher.cli.train import config_of
from fastfisher.training.presets import PRESETS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.suite}-{row.name}")
def test_a_row_is_a_config_of_its_environment(row: Row) -> None:
    assert gymnasium.spec(row.env).id == row.env
    config = config_of(row.words(seed=3))
    assert (config.env, config.policy, config.steps, config.seed) == (row.env, row.policy, row.steps, 3)
    assert config.preset == (row.policy in PRESETS.get(row.env, {}))
    assert len(set(row.seeds)) == len(row.seeds) > 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.suite}-{row.name}")
def test_what_is_recorded_is_what_the_row_trains_today(row: Row) -> None:
    """A preset or a flag that changes takes its rows with it, or the tables would be of another version."""
    config = full_config(row.words(row.seeds[0])).to_dict()  # seeds are not what differences() compares
    for seed in row.seeds:
        record = read_json(Seed(row, seed).record)
        if record is not None:
            differing = differences(record["config"], config)
            assert not differing, f"seed {seed}: {describe(differing)}; rerun it with --again"


def test_the_suites_are_complete() -> None:
    assert {row.suite for row in ROWS} == set(SUITES)
    assert [(row.env, row.policy) for row in rows_of("paper")] == [(e, p) for e in TASKS for p in POLICIES]
    assert {row.env for row in rows_of("million")} == set(TASKS) == set(PAPER) == set(PUBLISHED)
    assert all(row.steps == 1_000_000 and len(row.seeds) >= 5 for row in rows_of("million"))
    assert all(row.threshold == PAPER[row.env].threshold for row in rows_of("paper"))
    assert len({(row.suite, row.name) for row in ROWS}) == len(ROWS)


def test_goals_are_the_best_published_returns() -> None:
    assert {env: goal(env) for env in TASKS} == {
        "Swimmer-v5": 366,
        "HalfCheetah-v5": 4471,
        "Hopper-v5": 3618,
        "Walker2d-v5": 4933,
        "Ant-v5": 4982,
        "Humanoid-v5": 810,
    }


def test_choosing_rows() -> None:
    (row,) = rows_of("paper", "Hopper-v5", "rbf")
    assert (row.name, row.threshold) == ("Hopper-v5-rbf", 3120)
    with pytest.raises(ValueError, match=r"env: expected one of Swimmer-v5, .*, got Hopper-v4"):
        rows_of("paper", "Hopper-v4")
    with pytest.raises(ValueError, match="policy: expected one of linear, rbf, mlp, got cnn"):
        rows_of("paper", "Hopper-v5", "cnn")


def test_what_flags_give_the_environment() -> None:
    (row,) = rows_of("paper", "Ant-v5", "linear")
    assert env_kwargs(row) == {"include_cfrc_ext_in_observation": False}
    assert env_kwargs(Row("own", "Ant-v5", "linear", 10, flags="--gamma 0.9")) == {}


def test_a_folder_name_is_one_folder() -> None:
    row = Row("own", "ALE/Pong-v5", "mlp", 10, flags="--gamma 0.9", label="short/er")
    assert row.name == "ALE-Pong-v5-mlp-short-er"
    assert row.words(2)[-4:] == ["--seed", "2", "--gamma", "0.9"]
