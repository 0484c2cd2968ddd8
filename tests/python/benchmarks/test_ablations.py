"""One factor at a time: the table of factors, the rules that are broken, runs, tables and figures."""

from __future__ import annotations

import dataclasses
import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ablations
import documents
import gymnasium
import numpy as np
import pytest
from suites import ablation, ablation_figures, measures
from suites.ablation_tables import Measured, factor_table, read, task_table
from suites.factors import FACTORS, NAMES, PRESET, Planned, plan
from suites.results import Record, read_json
from suites.rules import RULES, WithTime, agent_of
from suites.training import RefusedError
from versus.record import write_json

from fastfisher import NPG
from fastfisher.training.baselines.network import NetworkBaseline
from fastfisher.training.config import TrainConfig
from fastfisher.training.defaults import resolve
from fastfisher.training.presets import PRESETS

STEPS = 4_100
FILLED: dict[str, Any] = {"gamma": 0.995, "max_kl": 0.05, "fisher": "empirical", "batch_steps": 10_000}
FILLED |= {"normalize_observations": False, "initial_log_std": -1.0}


FAKE: Record = {
    "iterations": 9,
    "steps": 90,
    "episodes": 9,
    "return_last_tenth": 100.0,
    "return_best_batch": 110.0,
    "mean_policy_return": 120.0,
    "mean_policy_std": 1.0,
    "area_under_curve": 50.0,
    "seconds": 61.0,
}
"""What a run comes to that nobody ran."""


def base_of(policy: str, **changes: Any) -> TrainConfig:
    """Return a preset as base_config fills it in."""
    baseline = "mlp" if policy == "mlp" else "quadratic"
    fields = {"policy": policy, "baseline": baseline, **FILLED, **changes}
    if policy == "mlp":
        fields["cg_iterations"] = 10
    return TrainConfig("Hopper-v5", steps=1_000, **fields)


def small(**changes: Any) -> TrainConfig:
    """Return a config of two episodes an iteration."""
    fields = {"policy": "linear", "steps": STEPS, "batch_steps": 400, "workers": 1, **changes}
    return TrainConfig("Pendulum-v1", **fields)


def ablate(folder: Path, *words: object, steps: int = STEPS) -> int:
    """Run the command on Pendulum, with its files in a folder."""
    fixed = ["Pendulum-v1", "linear", "--workers", 1, "--steps", steps]
    places = ["--results", folder / "results", "--locks", folder / "locks"]
    return ablations.main([str(word) for word in (*fixed, *places, *words)])


def test_the_factors_are_of_the_config_and_of_the_rules() -> None:
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    assert len(set(NAMES)) == len(NAMES)
    variants = [variant for factor in FACTORS for variant in factor.variants]
    assert {name for variant in variants for name in variant.changes} <= fields
    assert {name for factor in FACTORS for name in factor.fields} <= fields
    assert {variant.rule for variant in variants} - {None} == set(RULES)
    for factor in FACTORS:
        labels = [variant.label for variant in factor.variants]
        assert len(set(labels)) == len(labels), factor.name
        assert all(bool(variant.changes) != bool(variant.rule) for variant in factor.variants), factor.name
        assert factor.why.endswith((".", "?"))


@pytest.mark.parametrize("policy", ["linear", "rbf", "mlp"])
def test_every_policy_has_its_variants_of_every_factor(policy: str) -> None:
    variants, refused = plan(base_of(policy))
    assert not refused
    assert variants[0].key == PRESET
    assert len({variant.key for variant in variants}) == len(variants)
    space = gymnasium.spaces.Box(-1.0, 1.0, (3,))
    for variant in variants:
        assert resolve(variant.config, space, 3, 1_000) == variant.config, "it is what will be trained"
    missing = {
        "linear": {"baseline_steps", "baseline_hidden", "hidden", "rbf_features", "rbf_bandwidth_scale"},
        "rbf": {"baseline_steps", "baseline_hidden", "hidden"},
        "mlp": {"ridge", "rbf_features", "rbf_bandwidth_scale"},
    }
    assert set(NAMES) - {variant.factor for variant in variants} == missing[policy]


@pytest.mark.parametrize(("env", "policy"), [(env, policy) for env in PRESETS for policy in PRESETS[env]])
def test_every_preset_can_be_varied(env: str, policy: str) -> None:
    base = ablation.base_config(env, policy, STEPS)
    assert base.baseline == PRESETS[env][policy].get("baseline", base.baseline) != "auto"
    assert (base.baseline == "mlp") == (policy == "mlp" or PRESETS[env][policy].get("baseline") == "mlp")
    planned, _ = plan(base)
    assert {"baseline_batches", "baseline_lambda"} <= {variant.factor for variant in planned}


def test_a_variant_differs_from_the_preset_in_its_factor_alone() -> None:
    variants, _ = plan(base_of("linear"), ["damping", "algorithm", "solver"])
    changes = {(variant.factor, variant.label): variant.changes for variant in variants}
    assert ("damping", "0.01") not in changes, "the preset's own"
    assert ("solver", "exact") not in changes, "what the preset does"
    assert changes["damping", "0.1"] == {"damping": 0.1}
    assert changes["damping", "adaptive"] == {"damping_rule": "adaptive"}
    assert changes["algorithm", "trpo"] == {"algorithm": "trpo"}
    assert changes["algorithm", "trpo, exact Fisher"] == {"algorithm": "trpo", "fisher": "exact"}


def test_a_variant_that_cannot_be_is_told() -> None:
    variants, refused = plan(base_of("linear", initial_log_std=-1.5), ["min_log_std"])
    assert [variant.label for variant in variants] == [PRESET, "-2"]
    assert len(refused) == 2
    assert refused[1].startswith("min_log_std, -1, falling to -3: min_log_std: expected at most")
    assert refused[0].startswith("min_log_std, -1: min_log_std: expected at most initial_log_std = -1.5")
    with pytest.raises(ValueError, match=r"factors: expected some of solver, .*, got dampening"):
        plan(base_of("linear"), ["dampening"])


def test_a_floor_that_falls_and_a_kl_that_decays_are_varied_by_values_that_stay() -> None:
    base = base_of("linear", min_log_std=-1.5, final_min_log_std=-2.5, final_max_kl=0.01)
    variants, refused = plan(base, ["max_kl", "min_log_std"])
    assert not refused, "a floor of -3 and a KL of 0.005 are no longer held against the preset's last ones"
    ends = {(variant.factor, variant.label): variant.config for variant in variants}
    for value in (-3.0, -2.0, -1.0):
        floor = ends["min_log_std", f"{value:g}"]
        assert (floor.min_log_std, floor.final_min_log_std, floor.final_max_kl) == (value, None, 0.01)
    assert ends["min_log_std", "-1, falling to -3"].final_min_log_std == -3.0
    stays = ends["min_log_std", "the preset's, not falling"]
    assert (stays.min_log_std, stays.final_min_log_std) == (-1.5, None)
    assert (ends["max_kl", "0.1"].max_kl, ends["max_kl", "0.1"].final_max_kl) == (0.1, None)
    assert ends["max_kl", "decaying to 0.005"].final_max_kl == 0.005
    # The preset's first KL, 0.05, is a value of the factor: one variant, under the name that comes first.
    assert ends["max_kl", "0.05"].final_max_kl is None
    assert ("max_kl", "the preset's, not decaying") not in ends


def test_runs_are_recorded_once_and_of_one_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--factors", "momentum", "previous-batch rule", "--seeds", 1)
    assert ablate(tmp_path, *words) == 0
    file = tmp_path / "results" / "Pendulum-v1-linear.json"
    content = read_json(file)
    runs = {(run["factor"], run["label"]): run for run in content["runs"]}
    assert [label for _, label in runs] == [PRESET, "baseline of the same batch", "0.5", "0.9"]
    ends = {(run["return_last_tenth"], run["mean_policy_return"]) for run in runs.values()}
    assert len(ends) == 4, "each is another run"
    run = runs["momentum", "0.5"]
    assert run["command"] == (
        f"python benchmarks/ablations.py Pendulum-v1 linear --factors momentum --seeds 1 --steps {STEPS}"
    )
    assert (run["changes"], run["rule"], run["seed"]) == ({"momentum": 0.5}, None, 1)
    assert set(content["circumstances"][run["circumstances"]]) >= {"commit", "machine", "versions", "workers"}

    # The preset, filled in, is what the shipped trainer makes of it, to the bit.
    returns = []
    with NPG("Pendulum-v1", policy="linear", seed=1, steps=STEPS, preset=True, workers=1) as agent:
        agent.learn(callback=lambda info: returns.append(info.return_mean))
        mean = agent.evaluate(ablation.EPISODES, seed=1).mean
    preset = runs[PRESET, PRESET]
    assert len(returns) == preset["iterations"] == 3
    assert preset["return_last_tenth"] == round(returns[-1], 2)
    assert preset["return_best_batch"] == round(max(returns), 2)
    assert preset["area_under_curve"] == round(sum(returns) / 3, 2)
    assert preset["mean_policy_return"] == round(mean, 2)

    monkeypatch.setattr(ablation, "measured", None)  # nothing is run from here on
    assert ablate(tmp_path, *words) == 0
    assert read_json(file) == content
    assert ablate(tmp_path, *words, steps=2 * STEPS) == 2
    assert f"steps ({STEPS} and {2 * STEPS}); remove it" in capsys.readouterr().err
    assert ablate(tmp_path, *words, 0, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["1", "1", "1", "1"]


def test_a_failed_variant_is_told_and_the_others_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(planned: Planned, seed: int, workers: int) -> Record:
        if planned.changes == {"momentum": 0.5}:
            raise FloatingPointError("not a number")
        return FAKE

    monkeypatch.setattr(ablation, "measured", measured)
    assert ablate(tmp_path, "--factors", "momentum", "--seeds", 0) == 1
    assert "momentum, 0.5, seed 0: not a number" in capsys.readouterr().err
    runs = read_json(tmp_path / "results" / "Pendulum-v1-linear.json")["runs"]
    assert [run["label"] for run in runs] == [PRESET, "0.9"]


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained."""
    monkeypatch.setattr(ablation, "measured", lambda planned, seed, workers: FAKE)
    monkeypatch.setattr(measures, "commit", lambda: "abc")


@pytest.mark.usefixtures("faked")
def test_commands_side_by_side_lose_no_record(tmp_path: Path) -> None:
    task = ablation.Task(base_of("linear"), tmp_path / "results", tmp_path / "locks")
    variants, _ = plan(task.base, ["gamma"])
    jobs = [(variant, seed) for variant in variants for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job: ablation.run(task, *job, workers=1), jobs))
    runs = read_json(task.file)["runs"]
    assert len(runs) == len(jobs)
    assert {(run["label"], run["seed"]) for run in runs} == {(v.label, seed) for v, seed in jobs}

    with pytest.raises(RefusedError, match=r"of another preset: damping \(0.01 and 0.1\); remove it"):
        ablation.recorded(dataclasses.replace(task, base=task.base.replace(damping=0.1)), variants[0], 0)


@pytest.mark.usefixtures("faked")
def test_a_run_that_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    task = ablation.Task(base_of("linear"), tmp_path / "results", tmp_path / "locks")
    preset = plan(task.base, [])[0][0]
    lock = task.lock(preset, 0)
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert ablation.run(task, preset, 0, workers=1) is None
    assert not task.file.exists()
    assert ablation.run(task, preset, 0, workers=1) is not None


# The rules.


def after_one_batch(config: TrainConfig, rule: str | None) -> NPG:
    with agent_of(config, rule) as agent:
        return agent.learn(1)


def test_the_same_batch_rule_moves_the_fit_before_the_advantages() -> None:
    usual, broken = (after_one_batch(small(), rule) for rule in (None, "same batch"))
    # Both fit V = 0 to the first batch, whose returns do not depend on when.
    states = [agent._learner.baseline.state() for agent in (usual, broken)]
    np.testing.assert_array_equal(states[0]["coefficients"], states[1]["coefficients"])
    assert not np.array_equal(usual.policy.parameters, broken.policy.parameters)

    # Its value is in the environment's unit, and the trainer's in that of the rewards.
    with agent_of(small(normalize_rewards=True), "same batch") as agent:
        agent.learn(1)
        obs, times = np.ones((3, 3)), np.arange(3)
        values = agent._learner.reward_unit.value * agent._learner.baseline.predict(obs, times)
        np.testing.assert_allclose(values, broken._learner.baseline.predict(obs, times), rtol=1e-12)


def test_without_time_the_powers_of_t_have_no_weight() -> None:
    broken = after_one_batch(small(), "without time")._learner.baseline
    coefficients = broken.state()["coefficients"]
    assert np.all(coefficients[1:5] == 0.0)
    assert np.all(coefficients[5:] != 0.0)
    obs = np.ones((2, 3))
    first, second = broken.predict(obs, np.array([0, 150]))
    assert first == second


def test_with_time_the_network_knows_the_step() -> None:
    config = small(baseline="mlp")
    obs = np.ones((2, 3))
    usual, broken = (after_one_batch(config, rule)._learner.baseline for rule in (None, "with time"))
    assert isinstance(usual, NetworkBaseline)
    assert isinstance(broken, WithTime)
    first, second = usual.predict(obs, np.array([0, 150]))
    assert first == second
    first, second = broken.predict(obs, np.array([0, 150]))
    assert abs(first - second) > 1.0, "costs are all to come at first, and over at the end"


def test_the_mean_policy_is_measured_from_the_usual_states() -> None:
    fields = {"policy": "linear", "workers": 1, "batch_steps": 50, "max_episode_steps": 50}
    config = TrainConfig("Hopper-v5", init_noise=0.3, **fields)
    with agent_of(config, None) as agent, NPG("Hopper-v5", **fields) as usual:
        agent.learn(1)
        usual.policy.parameters = agent.policy.parameters
        expected = usual.evaluate(ablation.EPISODES).mean
        assert ablation._mean_policy(agent)[0] == round(expected, 2)
        assert agent.evaluate(ablation.EPISODES).mean != expected, "from its own states"


# Tables and figures.


def results(folder: Path, policy: str = "linear", last: dict[str, tuple[float, ...]] | None = None) -> None:
    """Write a task's file: by a variant's key, the last tenth of seeds 0, 1 ..."""
    base = base_of(policy)
    runs = []
    for variant in plan(base)[0]:
        for seed, value in enumerate((last or {}).get(variant.key, ())):
            told = {"factor": variant.factor, "label": variant.label, "changes": variant.changes}
            runs.append({**told, "rule": variant.rule, "seed": seed, **FAKE, "return_last_tenth": value})
    content = {"env": base.env, "policy": policy, "config": base.to_dict(), "runs": runs}
    write_json(folder / f"{base.env}-{policy}.json", {**content, "circumstances": []})


LAST = {PRESET: (100.0, 200.0), "damping=0.1": (130.0, 210.0), "same batch": (40.0,), "gamma=0.9": ()}


def cells(text: str, label: str) -> list[str]:
    """Return the cells of the line that a label is in."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return next(line for line in lines if label in line)


def test_a_tasks_table(tmp_path: Path) -> None:
    results(tmp_path, last=LAST)
    (task,) = read(tmp_path)
    text = task_table(task)
    assert cells(text, "preset")[2:] == ["150 (100 to 200)", "", "110", "120", "50.0", "2", "1 min 01 s"]
    # +30 and +10: 20 +- sqrt(200) / sqrt(2).
    assert cells(text, "0.1")[:4] == ["damping (0.01, fixed)", "0.1", "170 (130 to 210)", "+20.0 ± 10.0"]
    assert cells(text, "baseline of the same batch")[2:4] == ["40.0", "-60.0"]
    assert len(text.splitlines()) == 5


def test_a_factors_table_has_a_column_a_task(tmp_path: Path) -> None:
    results(tmp_path, last=LAST)
    results(tmp_path, "rbf", last={PRESET: (10.0,), "damping=0.001": (7.0,)})
    results(tmp_path, "mlp", last={PRESET: (10.0,)})
    tasks = read(tmp_path)
    text = factor_table("damping", tasks)
    assert cells(text, "variant") == ["variant", "Hopper-v5, linear", "Hopper-v5, RBF"]
    assert cells(text, "its last tenth")[1:] == ["150", "10.0"]
    assert cells(text, "0.001")[1:] == ["", "-3.0"]
    assert cells(text, "0.1")[1:] == ["+20.0 ± 10.0", ""]
    assert factor_table("gamma", tasks).endswith("None has been run.")


def test_a_variant_that_the_table_has_no_more_keeps_its_name(tmp_path: Path) -> None:
    results(tmp_path, last=LAST)
    (path,) = tmp_path.glob("*.json")
    content = read_json(path)
    content["runs"].append(
        {**content["runs"][0], "factor": "gamma", "label": "0.5", "changes": {"gamma": 0.5}}
    )
    content["config"]["removed"] = 1
    write_json(path, content)
    (task,) = read(tmp_path)
    assert (task.lines[-1].factor, task.lines[-1].label) == ("gamma", "0.5")


def test_the_document_and_its_figures_follow_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, document = tmp_path / "results" / "ablations", tmp_path / "docs" / "a.md"
    document.parent.mkdir()
    empty = "before\n<!-- factor: damping -->\n<!-- end -->\nmine\n<!-- tasks -->\nold\n<!-- end -->\nafter\n"
    document.write_text(empty)
    words = ["--results", str(folder.parent), "--documents", str(document)]
    results(folder, last=LAST)
    assert documents.main([*words, "--check"]) == 1
    assert document.read_text() == empty
    assert documents.main(words) == 0
    image = folder / "Hopper-v5-linear.png"
    before = image.read_bytes()
    assert before.startswith(b"\x89PNG\r\n\x1a\n")
    text = document.read_text()
    assert "\n### Hopper-v5, linear, 1,000 steps\n\n![" in text
    assert "(../results/ablations/Hopper-v5-linear.png)" in text
    assert text.endswith("<!-- end -->\nafter\n")
    assert "<!-- end -->\nmine\n<!-- tasks -->" in text
    assert documents.main([*words, "--check"]) == 0
    results(folder, last={**LAST, "damping=0.1": (130.0, 211.0)})
    capsys.readouterr()
    assert documents.main([*words, "--check"]) == 1
    assert "Hopper-v5-linear.png is out of date" in capsys.readouterr().out
    assert image.read_bytes() == before


def test_a_figure_is_drawn_without_the_preset(tmp_path: Path) -> None:
    results(tmp_path, last={"damping=0.1": (1.0,)})
    (task,) = read(tmp_path)
    assert isinstance(task, Measured)
    assert task.preset is None
    ablation_figures.draw(task, tmp_path / "a.png")
    assert ablation_figures.up_to_date(task, tmp_path / "a.png")


def test_an_unknown_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"factor: expected one of solver, .*, got dampening"):
        documents.filled(
            "<!-- factor: dampening -->\n<!-- end -->", documents.Made(tmp_path).blocks(tmp_path)
        )


def test_this_repositorys_document_has_every_factor() -> None:
    text = (documents.ROOT / "docs" / "results" / "ablations.md").read_text("utf-8")
    assert [name for name in NAMES if f"<!-- factor: {name} -->" not in text] == []
