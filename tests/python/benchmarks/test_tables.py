"""Tables and figures from results files: what a cell says, and what is out of date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import documents
import pytest
from suites import figures
from suites.results import PEERS, Seed, write_curve
from suites.rows import env_kwargs, rows_of
from suites.tables import TABLES, Results
from versus.record import write_json

PNG = b"\x89PNG\r\n\x1a\n"


def keep(folder: Path, suite: str, env: str, policy: str, seed: int, mean: float, **changes: Any) -> None:
    """Write the results of a seed that nobody has run."""
    (row,) = rows_of(suite, env, policy)
    job = Seed(row, seed, results=folder)
    record = {
        "suite": suite,
        "env": env,
        "policy": policy,
        "seed": seed,
        "command": f"fastfisher train {env}",
        "steps": row.steps,
        "episodes": 5_000,
        "episodes_to_threshold": 2_000 + seed,
        "steps_to_threshold": 10,
        "return_best_batch": mean,
        "return_last_tenth": mean,
        "threshold": row.threshold,
        "seconds": 61.0,
        "cores": 1,
        "commits": ["abc"],
        "machine": {"cpu": "6502"},
        "evaluation": {
            "episodes": 50,
            "sampled": {"mean": mean, "std": 1.0},
            "mean_policy": {"mean": mean + 100, "std": 2.0},
        },
        "config": {"steps": row.steps, "gamma": 0.995},
    }
    write_json(job.record, record | changes)
    curve = {"episodes": 1.0, "return_std": 1.0, "kl_achieved": 0.1, "std": 0.3}
    points = [{"steps": s, "seconds": s, "return_mean": mean * s / 30, **curve} for s in (10.0, 20.0, 30.0)]
    names = ("steps", "episodes", "seconds", "return_mean", "return_std", "kl_achieved", "std")
    write_curve(job.curve, [{name: point[name] for name in names} for point in points])


def cells(name: str, folder: Path, env: str) -> list[str]:
    """Return a line of a table: the first whose cells begin with the environment."""
    lines = TABLES[name](Results.read(folder)).splitlines()
    return next([c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith(f"| {env} "))


def test_without_results_every_cell_of_ours_says_so(tmp_path: Path) -> None:
    assert cells("paper best", tmp_path, "Hopper-v5")[1:] == ["MLP", "3,668", "not run"]
    assert cells("paper returns", tmp_path, "Swimmer-v5")[2:6] == ["362", "not run", "366", "not run"]
    assert cells("paper episodes", tmp_path, "Swimmer-v5")[1:] == [
        *("325", "1,450", "not run", "1,550", "not run", "-", "not run")
    ]
    assert cells("million", tmp_path, "Humanoid-v5")[3:8] == ["-", "-", "> 810", "not run", "not run"]
    assert TABLES["own"](Results.read(tmp_path)) == "None has been run."


def test_bold_is_what_meets_the_goal(tmp_path: Path) -> None:
    for seed, mean in enumerate((3_500.0, 3_600.0)):
        keep(tmp_path, "paper", "Hopper-v5", "linear", seed, mean)
    keep(tmp_path, "paper", "Hopper-v5", "rbf", 0, 3_400.0, episodes_to_threshold=8_000)
    keep(tmp_path, "paper", "Hopper-v5", "rbf", 1, 3_400.0, episodes_to_threshold=None)
    keep(tmp_path, "paper", "Hopper-v5", "mlp", 0, 3_668.0, episodes_to_threshold=None)
    assert cells("paper best", tmp_path, "Hopper-v5")[1:] == ["MLP", "3,668", "**3,668**"]
    assert cells("paper episodes", tmp_path, "Hopper-v5")[3:] == [
        *("**2,000 to 2,001**", "8,640", "8,000, 1 of 2 seeds", "10,000", "not in 5,000")
    ]
    line = cells("paper returns", tmp_path, "Hopper-v5")
    assert line[2:] == [
        *("3,466", "**3,550** (3,500 to 3,600)", "3,651", "3,650 (3,600 to 3,700)"),
        *("2", "5,000,000", "1 min 01 s, 1 core"),
    ]


def test_a_third_of_the_episodes_is_what_is_asked(tmp_path: Path) -> None:
    for count, words in ((4_640, "**4,640**"), (4_641, "4,641")):
        keep(tmp_path, "paper", "Hopper-v5", "linear", 0, 1.0, episodes_to_threshold=count)
        assert cells("paper episodes", tmp_path, "Hopper-v5")[3] == words


def test_a_million_steps_are_of_the_mean_policy_and_above_the_goal(tmp_path: Path) -> None:
    row = rows_of("million", "HalfCheetah-v5")[0]
    keep(tmp_path, "million", row.env, row.policy, 0, 4_371.0)
    assert cells("million", tmp_path, row.env)[6:8] == ["4,471", "4,371"]
    keep(tmp_path, "million", row.env, row.policy, 0, 4_372.0)
    peer = {"env": row.env, "steps": 114_688, "seconds_million": 90.0, "extrapolated": True, "threads": 2}
    peer |= {"machine": {"cpu": "6502"}, "env_kwargs": {}, "hyperparameters": "defaults"}
    write_json(tmp_path / PEERS / "one.json", peer)
    line = cells("million", tmp_path, row.env)
    assert line[6:8] == ["**4,472**", "4,372"]
    assert line[-2:] == ["1 min 30 s, 2 threads (from 114,688 steps)", "not measured"]
    whole = {"extrapolated": False, "evaluation": {"mean_policy": {"mean": 1803.4}}}
    write_json(tmp_path / PEERS / "a.json", peer | whole | {"hyperparameters": "zoo"})
    line = cells("million", tmp_path, row.env)
    assert line[-2:] == ["1 min 30 s, 2 threads (from 114,688 steps)", "1 min 30 s, 2 threads: 1,803"]


def test_another_library_is_shown_beside_rows_of_its_environment_and_its_processor(tmp_path: Path) -> None:
    (row,) = rows_of("million", "Ant-v5", "linear")
    keep(tmp_path, "million", row.env, row.policy, 0, 3_000.0)
    peer = {"env": row.env, "steps": 65_536, "seconds_million": 90.0, "extrapolated": True, "threads": 1}
    peer |= {"machine": {"cpu": "Z80"}, "env_kwargs": {}, "hyperparameters": "defaults"}
    write_json(tmp_path / PEERS / "one.json", peer)
    assert cells("million", tmp_path, row.env)[-2] == "not measured", "all entries of the observation"
    write_json(tmp_path / PEERS / "two.json", peer | {"env_kwargs": env_kwargs(row)})
    assert cells("million", tmp_path, row.env)[-2] == "1 min 30 s, 1 thread of Z80 (from 65,536 steps)"


def test_commands_can_be_pasted(tmp_path: Path) -> None:
    bare = """fastfisher train Ant-v5 --env-kwargs {"a": [1, 2], "b": false} --seed 0"""
    quoted = """fastfisher train Ant-v5 --env-kwargs '{"a": [1, 2], "b": false}' --seed 0"""
    nested = """fastfisher train Ant-v5 --env-kwargs '{"a": {"b": 1}}'"""
    for command, shown in ((bare, quoted), (quoted, quoted), (nested, nested)):
        keep(tmp_path, "paper", "Ant-v5", "linear", 0, 1.0, command=command)
        assert f"| `{shown}` |" in TABLES["commands"](Results.read(tmp_path))


def test_seeds_that_were_not_trained_alike_have_no_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "learning", "paper", "Hopper-v5", "linear", 0, 1.0)
    keep(
        tmp_path / "learning",
        "paper",
        "Hopper-v5",
        "linear",
        1,
        1.0,
        config={"steps": 5_000_000, "gamma": 0.9},
    )
    assert documents.main(["--results", str(tmp_path)]) == 2
    assert "seeds 0 and 1 differ in gamma (0.995 and 0.9)" in capsys.readouterr().err


def test_documents_and_figures_follow_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, document = tmp_path / "results" / "learning", tmp_path / "docs" / "a.md"
    document.parent.mkdir()
    document.write_text(
        "before\n<!-- figure: paper -->\n<!-- end -->\n<!-- table: own -->\nold\n<!-- end -->\nafter\n"
    )
    words = ["--results", str(results.parent), "--documents", str(document)]
    keep(results, "paper", "Hopper-v5", "linear", 0, 3_000.0)
    keep(results, "paper", "Hopper-v5", "linear", 1, 3_200.0)
    assert documents.main([*words, "--check"]) == 1
    assert not (results / "paper.png").exists()
    assert "paper.png is out of date" in capsys.readouterr().out
    assert documents.main(words) == 0
    image = (results / "paper.png").read_bytes()
    assert image.startswith(PNG)
    assert not (results / "million.png").exists()
    assert document.read_text() == (
        "before\n<!-- figure: paper -->\n![Learning curves](../results/learning/paper.png)\n<!-- end -->\n"
        "<!-- table: own -->\nNone has been run.\n<!-- end -->\nafter\n"
    )
    assert documents.main([*words, "--check"]) == 0
    keep(results, "paper", "Hopper-v5", "linear", 1, 3_300.0)
    assert documents.main([*words, "--check"]) == 1
    assert (results / "paper.png").read_bytes() == image


def test_an_unknown_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table: expected one of paper best, .*, got papers"):
        documents.filled("<!-- table: papers -->\n<!-- end -->", documents.Made(tmp_path).blocks(tmp_path))


def test_labels_that_would_overlap_are_moved_apart() -> None:
    assert figures.apart([0.5, 0.1, 0.52], 0.1) == pytest.approx([0.5, 0.1, 0.6])
    assert figures.apart([0.98, 0.97], 0.1) == pytest.approx([1.0, 0.9])


def test_the_documents_of_this_repository_are_those_of_its_results() -> None:
    assert documents.main(["--check"]) == 0
