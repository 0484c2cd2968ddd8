"""The table of comparisons of the bridges."""

from __future__ import annotations

import numpy as np
from versus.bridges import all_cases, all_rows, compared
from versus.case import Task


def test_each_comparison_has_a_name_of_its_own_at_both_sizes() -> None:
    for quick in (True, False):
        rows = all_rows(quick)
        names = [row.case.name for row in rows]
        assert len(set(names)) == len(names) >= 4
        assert [case.name for case in all_cases(quick)] == names
        for row in rows:
            assert row.threads in (1, 2)
            assert row.pairs >= 1
            assert all(peer.bar is not None and peer.bar > 1.0 for peer in row.case.peers)


def test_a_comparison_of_two_callables_is_judged_by_the_numbers_of_its_answers() -> None:
    def task(threads: int) -> Task:
        return Task(lambda: threads, lambda result: {"kl": np.asarray(0.5 * result)})

    row = compared(
        "some", ours=task, peer=task, peer_name="theirs", threads=2, bar=3.0, limits={"kl": 0.9}, pairs=3
    )
    assert (row.case.name, row.threads, row.pairs) == ("some", 2, 3)
    ours = row.case.contender("fastfisher")
    done = ours.prepare({}, 2)
    assert row.case.check({}, None, done.answer(done.run())) == {"kl": 1.0}
    assert ours.limits == {"kl": 0.9}
    assert row.case.contender("theirs").bar == 3.0
