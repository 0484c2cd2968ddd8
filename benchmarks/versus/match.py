"""One case: the answers judged first, then the pairs timed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .case import Case, Contender, Measures
from .pairs import Side, play, ratio_of_pairs
from .process import Skip, Worker, remove
from .record import Row
from .worker import REFEREE


@dataclass(frozen=True)
class Setting:
    """What a whole run has in common."""

    threads: int
    simd: str
    repetitions: int
    seed: int
    quick: bool
    limit: float
    circumstances: dict[str, Any]
    cases: str = "versus.cases"
    """The module whose all_cases() has the case."""


def play_case(case: Case, setting: Setting) -> Iterator[Row]:
    """Yield a row for each peer, timed or with the reason why not."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        try:
            referee = stack.enter_context(_worker(case, REFEREE, setting))
            referee.ask("prepare", "")
            ours = stack.enter_context(_worker(case, case.ours.name, setting))
            measures = _admit(ours, referee, case.ours, scratch)
            ceilings = ours.ask("ceilings")
        except Skip as reason:
            for peer in case.peers:
                yield _row(case, peer, setting, reason.status, note=str(reason))
            return
        common = {"ceilings": ceilings, "ours_measures": measures}
        for peer in case.peers:
            try:
                with _worker(case, peer.name, setting) as worker:
                    judged = _admit(worker, referee, peer, scratch)
                    timed = _time(case, Side(ours), Side(worker), ceilings, setting)
                    yield _row(case, peer, setting, "timed", peer_measures=judged, **common, **timed)
            except Skip as reason:
                yield _row(case, peer, setting, reason.status, note=str(reason), **common)


def _worker(case: Case, contender: str, setting: Setting) -> Worker:
    return Worker(
        case.name,
        contender,
        threads=setting.threads,
        simd=setting.simd,
        seed=setting.seed,
        quick=setting.quick,
        limit=setting.limit,
        cases=setting.cases,
    )


def _admit(worker: Worker, referee: Worker, contender: Contender, scratch: str) -> dict[str, Any]:
    """Have the contender run once and its answer judged; refuse to time a wrong one."""
    path = str(Path(scratch) / "answer.npz")
    pools = worker.ask("prepare", path)["pools"]
    measures: Measures = referee.ask("judge", path)
    remove(path)
    for name, limit in contender.limits.items():
        if not measures[name] <= limit:
            raise Skip(
                "wrong", f"{contender.name}: {name} {measures[name]:.1e}, at most {limit:g} is allowed"
            )
    return {"measures": measures, "pools": pools}


def _time(case: Case, ours: Side, peer: Side, ceilings: dict[str, float], setting: Setting) -> dict[str, Any]:
    others = play(ours, peer, setting.repetitions)
    ratio = ratio_of_pairs(ours.turns, peer.turns)
    return {
        "ratio": ratio.median,
        "interval": [ratio.low, ratio.high],
        "coverage": ratio.coverage,
        "pairs": setting.repetitions,
        "ours": _times(case, ours, ceilings),
        "peer_time": _times(case, peer, ceilings),
        "cores_busy_with_others": others,
    }


def _times(case: Case, side: Side, ceilings: dict[str, float]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "median": side.median,
        "min": side.best,
        "turns": [float(f"{seconds:.5g}") for seconds in side.turns],
        "calls_a_turn": side.calls,
        "cores": round(side.processor / side.elapsed, 3),
    }
    if case.flops is not None:
        rate = case.flops / side.median
        found |= {"gflops": rate / 1e9, "of_peak": rate / ceilings["peak_flops"]}
    if case.bytes is not None:
        rate = case.bytes / side.median
        found |= {
            "gigabytes_per_second": rate / 1e9,
            "of_copy_bandwidth": rate / ceilings["copy_bytes_per_second"],
        }
    return found


def _row(case: Case, peer: Contender, setting: Setting, status: str, note: str = "", **more: Any) -> Row:
    return {
        "case": case.name,
        "peer": peer.name,
        "simd": setting.simd,
        "threads": setting.threads,
        "status": status,
        "note": note,
        "bar": peer.bar,
        "gives": peer.gives,
        "case_notes": list(case.notes),
        **setting.circumstances,
        **more,
    }
