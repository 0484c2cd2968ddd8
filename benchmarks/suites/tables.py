"""The tables, as Markdown, from records alone.

Ours is bold where it meets the goal, and a cell without results says so.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import results as files
from .results import Record
from .rows import OWN, PAPER, PEERS, POLICIES, PUBLISHED, SHARE_OF_EPISODES, Row, env_kwargs, goal, rows_of

NOT_RUN = "not run"
TITLES = {"linear": "linear", "rbf": "RBF", "mlp": "MLP"}
VERSIONS = (
    "The paper's environments are OpenAI gym's -v1, ours gymnasium's -v5: another version of the simulator "
    "and, for some tasks, other rewards, observations and ends of episodes."
)


@dataclass(frozen=True)
class Results:
    """All that has been measured: records by suite and row, and those of other libraries."""

    suites: Mapping[str, Mapping[str, Sequence[Record]]]
    peers: Sequence[Record]

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Read a results folder."""
        suites = {suite: files.read_rows(folder, suite) for suite in ("paper", "million", OWN)}
        return cls(suites, files.read_peers(folder))

    def of(self, row: Row) -> Sequence[Record]:
        """Return the records of a row's seeds."""
        return self.suites.get(row.suite, {}).get(row.name, ())

    def peer(self, row: Row, hyperparameters: str = "defaults") -> Record | None:
        """Return what another library took for the row's environment and arguments, if it was measured."""
        wanted = (row.env, env_kwargs(row), hyperparameters)
        for record in self.peers:
            if (record["env"], record["env_kwargs"], record["hyperparameters"]) == wanted:
                return record
        return None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(value: float) -> str:
    """Write a return: whole above 100, where a digit more is noise."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def bold(words: str, met: bool) -> str:
    return f"**{words}**" if met else words


def clock(seconds: float) -> str:
    """Write a wall time."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def returns(records: Sequence[Record], kind: str) -> list[float]:
    """Return the evaluated means of a row's seeds, `kind` being `sampled` or `mean_policy`."""
    return [record["evaluation"][kind]["mean"] for record in records]


def compared(records: Sequence[Record], kind: str, published: float | None) -> str:
    """Return the mean over seeds, bold where it is at least the published one."""
    mean = statistics.fmean(returns(records, kind))
    return bold(number(mean), published is not None and mean >= published)


def spread(records: Sequence[Record], kind: str) -> str:
    """Return the least and the most of several seeds."""
    values = returns(records, kind)
    return f" ({number(min(values))} to {number(max(values))})" if len(values) > 1 else ""


def episodes(records: Sequence[Record], paper: int | None) -> str:
    """Return the episodes until the threshold, bold where all seeds keep to a third of the paper's."""
    counts = [record["episodes_to_threshold"] for record in records]
    reached = sorted(count for count in counts if count is not None)
    if not reached:
        return f"not in {max(record['episodes'] for record in records):,}"
    ends = list(dict.fromkeys([reached[0], reached[-1]]))
    words = " to ".join(f"{count:,}" for count in ends)
    if len(reached) < len(counts):
        return f"{words}, {len(reached)} of {len(counts)} seeds"
    return bold(words, paper is not None and reached[-1] <= SHARE_OF_EPISODES * paper)


def _tasks(suite: str) -> dict[str, list[Row]]:
    tasks: dict[str, list[Row]] = {}
    for row in rows_of(suite):
        tasks.setdefault(row.env, []).append(row)
    return tasks


def paper_best(results: Results) -> str:
    """Table 1's best cell of each task: the policy by which the paper reached most, and ours by the same."""
    lines = []
    for env, rows in _tasks("paper").items():
        best = max(rows, key=lambda row: PAPER[row.env].cells[row.policy].stochastic)
        theirs = PAPER[env].cells[best.policy].stochastic
        records = results.of(best)
        ours = compared(records, "sampled", theirs) + spread(records, "sampled") if records else NOT_RUN
        lines.append([env, TITLES[best.policy], number(theirs), ours])
    note = (
        "The policy by which the paper reached most, sampled actions, mean over seeds (least to most). Bold: "
        "at least the paper's, which had other versions of these tasks."
    )
    return f"{table(['task', 'policy', 'paper', 'ours'], lines)}\n\n{note}"


def paper_returns(results: Results) -> str:
    """Table 1."""
    header = [
        "task",
        "policy",
        "paper, sampled",
        "ours",
        "paper, mean policy",
        "ours",
        "seeds",
        "steps",
        "time",
    ]
    lines = []
    for env, rows in _tasks("paper").items():
        for row in rows:
            cell = PAPER[env].cells[row.policy]
            theirs = [number(cell.stochastic), "-" if cell.mean is None else number(cell.mean)]
            if not (records := results.of(row)):
                lines.append([env, TITLES[row.policy], theirs[0], NOT_RUN, theirs[1], NOT_RUN, "", "", ""])
                continue
            ours = [
                compared(records, kind, published) + spread(records, kind)
                for kind, published in (("sampled", cell.stochastic), ("mean_policy", cell.mean))
            ]
            facts = [str(len(records)), f"{records[0]['config']['steps']:,}", _time(records)]
            lines.append([env, TITLES[row.policy], theirs[0], ours[0], theirs[1], ours[1], *facts])
    count = _evaluated(results, "paper")
    note = (
        f"Ours: the final policy's return{count}, mean over seeds (least to most). For MLP the paper's is "
        f"its network by TRPO. Bold: at least the paper's. {VERSIONS}"
    )
    return f"{table(header, lines)}\n\n{note}"


def paper_episodes(results: Results) -> str:
    """Table 2."""
    header = ["task", "threshold"]
    for policy in POLICIES:
        header += [f"{TITLES[policy]}, paper", "ours"]
    lines = []
    for env, rows in _tasks("paper").items():
        line = [env, number(PAPER[env].threshold)]
        for policy in POLICIES:
            count = PAPER[env].cells[policy].episodes
            records = [record for row in rows if row.policy == policy for record in results.of(row)]
            line += ["-" if count is None else f"{count:,}"]
            line += [episodes(records, count) if records else NOT_RUN]
        lines.append(line)
    note = (
        "Episodes until the first batch whose mean return, of sampled actions, is at least the threshold; "
        f"over the seeds, fewest to most. Bold: for all seeds at most a third of the paper's. {VERSIONS}"
    )
    return f"{table(header, lines)}\n\n{note}"


def million(results: Results) -> str:
    """A million steps, beside what libraries publish."""
    header = ["task", *PEERS, "goal", "ours: mean policy", "sampled", "policy", "seeds"]
    header += ["time", "SB3-contrib here", "by its zoo's settings"]
    lines = []
    for env, rows in _tasks("million").items():
        for row in rows:
            published = [number(PUBLISHED[env][peer]) if peer in PUBLISHED[env] else "-" for peer in PEERS]
            line = [env, *published, f"> {number(goal(env))}"]
            records = results.of(row)
            theirs = [_peer(results.peer(row, settings), records) for settings in ("defaults", "zoo")]
            if records:
                mean = statistics.fmean(returns(records, "mean_policy"))
                line.append(bold(number(mean), mean > goal(env)) + spread(records, "mean_policy"))
                line.append(compared(records, "sampled", None))
                line += [TITLES[row.policy], str(len(records)), _time(records), *theirs]
            else:
                line += [NOT_RUN, NOT_RUN, TITLES[row.policy], "", "", *theirs]
            lines.append(line)
    count = _evaluated(results, "million")
    note = (
        f"Return after a million environment steps{count}, mean over seeds (least to most). The published "
        "ones are by neural networks: Tianshou's benchmark, SB3-contrib's documentation and zoo. Bold: above "
        "the goal, the best of them. The last two columns are SB3-contrib's TRPO on the same environments, "
        "and on the same processor unless one is named, one seed, by its defaults and by what its zoo has "
        "for -v4: time, and the mean policy's return."
    )
    return f"{table(header, lines)}\n\n{note}"


def own(results: Results) -> str:
    """Rows that are of no suite."""
    header = [
        "environment",
        "policy",
        "label",
        "target",
        "steps to the first batch at it",
        "mean return of the last tenth",
    ]
    header += ["final: sampled", "mean policy", "steps"]
    lines = []
    for records in results.suites.get(OWN, {}).values():
        first = records[0]
        target = "-" if first["threshold"] is None else number(first["threshold"])
        steps = [record["steps_to_threshold"] for record in records]
        lines.append(
            [
                first["env"],
                TITLES[first["policy"]],
                first.get("label") or "-",
                target,
                ", ".join("not reached" if value is None else f"{value:,}" for value in steps),
                ", ".join(number(record["return_last_tenth"]) for record in records),
                *(", ".join(map(number, returns(records, kind))) for kind in ("sampled", "mean_policy")),
                f"{first['config']['steps']:,}",
            ]
        )
    return table(header, lines) if lines else "None has been run."


def commands(results: Results) -> str:
    """Return every seed: its command, its code, its machine."""
    header = [
        "command",
        "final: sampled",
        "mean policy",
        "best batch",
        "time",
        "cores",
        "commit",
        "processor",
    ]
    lines = []
    for suite in results.suites.values():
        for records in suite.values():
            for record in records:
                sampled, mean = (record["evaluation"][kind] for kind in ("sampled", "mean_policy"))
                lines.append(
                    [
                        f"`{files.quoted(record['command'])}`",
                        *(f"{number(one['mean'])} ± {number(one['std'])}" for one in (sampled, mean)),
                        number(record["return_best_batch"]),
                        clock(record["seconds"]),
                        str(record["cores"]),
                        ", ".join(record["commits"]),
                        record["machine"]["cpu"],
                    ]
                )
    return table(header, lines) if lines else "None has been run."


def _peer(record: Record | None, ours: Sequence[Record]) -> str:
    """Return what another library took for a million steps, on what if not on ours, and where to it came."""
    if record is None:
        return "not measured"
    count = record["threads"]
    time = f"{clock(record['seconds_million'])}, {count} thread{'' if count == 1 else 's'}"
    if {record["machine"]["cpu"]} != {one["machine"]["cpu"] for one in ours}:
        time += f" of {record['machine']['cpu']}"
    if record["extrapolated"]:
        return f"{time} (from {record['steps']:,} steps)"
    return f"{time}: {number(record['evaluation']['mean_policy']['mean'])}"


def _time(records: Sequence[Record]) -> str:
    """Return the mean wall time of a seed, and how many cores it had."""
    cores = sorted({record["cores"] for record in records})
    plural = "core" if cores == [1] else "cores"
    return (
        f"{clock(statistics.fmean(r['seconds'] for r in records))}, {' or '.join(map(str, cores))} {plural}"
    )


def _evaluated(results: Results, suite: str) -> str:
    counts = {r["evaluation"]["episodes"] for rows in results.suites.get(suite, {}).values() for r in rows}
    return f", over {' or '.join(map(str, sorted(counts)))} episodes" if counts else ""


TABLES: dict[str, Callable[[Results], str]] = {
    "paper best": paper_best,
    "paper returns": paper_returns,
    "paper episodes": paper_episodes,
    "million": million,
    "own": own,
    "commands": commands,
}
