"""The tables of docs/results/ablations.md, as Markdown, from the results files alone."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastfisher.training.config import TrainConfig

from .factors import FACTORS, PRESET, is_own, of_the_preset, plan
from .results import Record, read_json
from .tables import NOT_RUN, TITLES, clock, number, table

_FIELDS = frozenset(field.name for field in dataclasses.fields(TrainConfig))


@dataclass(frozen=True)
class Line:
    """A variant of a task and its seeds' records."""

    factor: str
    label: str
    records: Sequence[Record]

    def values(self, name: str) -> list[float]:
        """Return a number of each seed."""
        return [record[name] for record in self.records]

    def mean(self, name: str) -> float:
        """Return its mean over seeds."""
        return statistics.fmean(self.values(name))


@dataclass(frozen=True)
class Measured:
    """A task's results file."""

    file: str
    """The file's name without its suffix."""
    env: str
    policy: str
    config: Mapping[str, Any]
    """The preset's."""
    lines: Sequence[Line]
    """The preset's first, the others in the order of factors.py."""
    own: frozenset[tuple[str, str]]
    """Factor and label of the variants that are the preset's own values."""

    @property
    def name(self) -> str:
        """What its heading says."""
        return f"{self.env}, {TITLES[self.policy]}"

    @property
    def preset(self) -> Line | None:
        """The preset's, if it was run."""
        return next((line for line in self.lines if line.factor == PRESET), None)

    def against_preset(self, line: Line) -> tuple[float, float] | None:
        """Return what a variant's last tenth has more than the preset's, or None without a seed in common.

        The mean of the differences between runs of the same seed, and its standard error: NaN for one seed.
        """
        preset = {r["seed"]: r["return_last_tenth"] for r in self.preset.records} if self.preset else {}
        more = [r["return_last_tenth"] - preset[r["seed"]] for r in line.records if r["seed"] in preset]
        if not more:
            return None
        error = statistics.stdev(more) / math.sqrt(len(more)) if len(more) > 1 else math.nan
        return statistics.fmean(more), error


def read(folder: Path) -> list[Measured]:
    """Read every task's file, in the order of their names."""
    return [_measured(path.stem, read_json(path)) for path in sorted(folder.glob("*.json"))]


def _measured(file: str, content: Record) -> Measured:
    # As elsewhere, a field that was removed since does not count.
    base = TrainConfig.from_dict({k: v for k, v in content["config"].items() if k in _FIELDS})
    names = {_key(v.changes, v.rule): (v.factor, v.label) for v in plan(base)[0]}
    by_variant: dict[str, list[Record]] = {}
    for record in sorted(content["runs"], key=lambda record: record["seed"]):
        by_variant.setdefault(_key(record["changes"], record["rule"]), []).append(record)
        # A variant that factors.py has no more comes last, as what its records say it is.
        names.setdefault(_key(record["changes"], record["rule"]), (record["factor"], record["label"]))
    lines = [Line(*name, by_variant[key]) for key, name in names.items() if key in by_variant]
    own = frozenset(
        (factor.name, variant.label)
        for factor in FACTORS
        for variant in factor.variants
        if is_own(variant, base)
    )
    return Measured(file, content["env"], content["policy"], content["config"], lines, own)


def _key(changes: Mapping[str, Any], rule: str | None) -> str:
    return repr((sorted(changes.items()), rule))


def task_table(task: Measured) -> str:
    """Return a line a variant, the preset's first."""
    header = ["factor (the preset's)", "variant", "last tenth", "against the preset", "best batch"]
    header += ["mean policy", "area under the curve", "seeds", "time"]
    rows = []
    before = None
    for line in task.lines:
        values = line.values("return_last_tenth")
        ends = f" ({number(min(values))} to {number(max(values))})" if len(values) > 1 else ""
        rows.append(
            [
                "" if line.factor == before else heading(line.factor, task.config),
                line.label if line.factor != PRESET else "",
                number(line.mean("return_last_tenth")) + ends,
                "" if line.factor == PRESET else difference(task.against_preset(line)),
                *(number(line.mean(name)) for name in ("return_best_batch", "mean_policy_return")),
                number(line.mean("area_under_curve")),
                str(len(values)),
                clock(line.mean("seconds")),
            ]
        )
        before = line.factor
    return table(header, rows)


def heading(name: str, config: Mapping[str, Any]) -> str:
    """Return a factor's name and, in parentheses, where the preset stands."""
    factor = next((factor for factor in FACTORS if factor.name == name), None)
    stands = of_the_preset(factor, config) if factor is not None else ""
    return f"{name} ({stands})" if stands else name


def difference(found: tuple[float, float] | None) -> str:
    """Write a difference from the preset."""
    if found is None:
        return "-"
    mean, error = found
    sign = "+" if mean >= 0 else "-"
    return f"{sign}{number(abs(mean))}" + ("" if math.isnan(error) else f" ± {number(error)}")


def factor_table(name: str, tasks: Sequence[Measured]) -> str:
    """Return a line a variant and a column a task: what the last tenth has more than the preset's."""
    (factor,) = (factor for factor in FACTORS if factor.name == name)
    shown = [task for task in tasks if any(line.factor == name for line in task.lines)]
    if not shown:
        return f"{factor.why}\n\nNone has been run."
    labels = list(dict.fromkeys(line.label for task in shown for line in task.lines if line.factor == name))
    order = [variant.label for variant in factor.variants]
    labels.sort(key=lambda label: order.index(label) if label in order else len(order))
    rows = []
    if any(of_the_preset(factor, task.config) for task in shown):
        rows.append(["the preset's", *(of_the_preset(factor, task.config) or "-" for task in shown)])
    if any(task.preset for task in shown):
        means = [task.preset.mean("return_last_tenth") if task.preset else math.nan for task in shown]
        rows.append(["its last tenth", *("-" if math.isnan(mean) else number(mean) for mean in means)])
    for label in labels:
        cells = []
        for task in shown:
            line = next((one for one in task.lines if (one.factor, one.label) == (name, label)), None)
            missing = "preset" if (name, label) in task.own else ""
            cells.append(missing if line is None else difference(task.against_preset(line)))
        rows.append([label, *cells])
    return f"{factor.why}\n\n{table(['variant', *(task.name for task in shown)], rows)}"


def task_sections(tasks: Sequence[Measured], figures: Mapping[str, str]) -> str:
    """Return for each task a heading, the figure and the table.

    Parameters
    ----------
    figures
        The Markdown of each task's figure, by the task's name.
    """
    if not tasks:
        return f"Of no task yet: {NOT_RUN}."
    parts = []
    for task in tasks:
        steps = f"{task.config['steps']:,} steps"
        parts.append(f"### {task.name}, {steps}\n\n{figures[task.name]}\n\n{task_table(task)}")
    return "\n\n".join(parts)
