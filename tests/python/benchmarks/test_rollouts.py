"""Training in turns against another library: the processes, and what is recorded of them."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import rollouts
from versus.quiet import Bystanders, tree_seconds


def test_turns_are_taken_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    turns = rollouts.measure("Pendulum-v1", ["linear"], rounds=2, threads=1)
    assert list(turns) == ["linear"]
    for steps, wall, inside in turns["linear"].own:
        assert steps >= rollouts.TURN_STEPS
        assert 0.0 < inside < wall
    (row,) = rollouts.summary(turns)
    assert 0.0 < row["outside"] < 1.0
    assert row["cores_busy_with_others"] is None or row["cores_busy_with_others"] >= 0.0
    assert not list(tmp_path.iterdir())
    assert not multiprocessing.active_children()


def test_a_contender_that_does_not_start_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^mlp ended with exit code 1$"):
        rollouts.measure("NoSuch-v0", ["mlp"], rounds=1, threads=1)
    assert "NoSuch" in capfd.readouterr().err
    assert not multiprocessing.active_children()


def test_a_contender_that_is_killed_is_named() -> None:
    with rollouts.contenders("Pendulum-v1", ["linear"], threads=1) as (one,):
        one.process.kill()
        one.process.join()
        with pytest.raises(SystemExit, match=r"^linear ended with exit code -9$"):
            one.take_turn(Bystanders())


def test_a_ratio_is_of_the_same_round() -> None:
    turns = {
        "mlp": rollouts.Turns([(100, 1.0, 0.8), (100, 2.0, 1.6), (100, 1.0, 0.8)], Bystanders()),
        rollouts.PEER: rollouts.Turns([(100, 4.0, 0.0), (100, 10.0, 0.0), (100, 2.0, 0.0)], Bystanders()),
    }
    first, second = rollouts.summary(turns)
    assert (first["steps_per_second"], first["ratios"], first["ratio"]) == (100, [4.0, 5.0, 2.0], 4.0)
    assert first["outside"] == pytest.approx(0.2)
    assert "ratio" not in second


def test_the_network_has_what_the_peer_has() -> None:
    for name in ("mlp", "mlp, TRPO", "mlp, EnvPool"):
        settings = rollouts.OURS[name]
        assert (settings["hidden"], settings["baseline"]) == ((64, 64), "mlp")
        assert settings["baseline_hidden"] == (64, 64)
        assert (settings["cg_iterations"], settings["batch_steps"]) == (15, 2_048 * 8)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="reads /proc")
def test_seconds_of_a_process_are_its_childrens_too() -> None:
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    nested = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\ninput()"
    process = subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE)
    try:
        end = time.monotonic() + 30.0
        while tree_seconds(process.pid) < 0.25 and time.monotonic() < end:
            time.sleep(0.05)
        assert tree_seconds(process.pid) >= 0.25
    finally:
        process.communicate(b"\n")
    assert tree_seconds(process.pid) == 0.0
    assert tree_seconds(None) == 0.0
