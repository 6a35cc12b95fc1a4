"""What a comparison found: runs put together by setting, what they reached over their seeds, and that as tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s2s.evaluation import Table
from s2s.evaluation.tables import LABELS
from s2s.metrics import LOWER_IS_BETTER
from s2s.sweeps.axes import Axis
from s2s.sweeps.plan import SEED, Combination, short, shown
from s2s.sweeps.published import Curve
from s2s.sweeps.ran import Ran, best_of, first_beyond
from s2s.sweeps.spec import Threshold

_SHARES = frozenset({"exact_match", "token_accuracy", "accuracy"})
_NO_SCORES = frozenset({"seconds", "sentences_per_second"})


@dataclass(frozen=True)
class Group:
    """The runs of one setting, which differ in the seed alone."""

    label: str
    setting: Mapping[str, Any]
    members: Sequence[tuple[Combination, Ran]]

    @property
    def trained(self) -> list[tuple[Combination, Ran]]:
        """Those that are done."""
        return [(combination, ran) for combination, ran in self.members if ran.state == "done"]

    def curves(self, name: str) -> list[list[tuple[int, float]]]:
        """One curve a run, of those done that have any."""
        return [curve for _, ran in self.trained if (curve := ran.curve(name))]


@dataclass(frozen=True)
class Comparison:
    """All groups, and how they are judged."""

    title: str
    metric: str
    axes: Sequence[Axis]
    groups: Sequence[Group]
    threshold: Threshold | None = None
    published: Sequence[Curve] = ()
    loss_unit: str = ""


def make_groups(members: Sequence[tuple[Combination, Ran]], axes: Sequence[Axis]) -> list[Group]:
    """Runs by setting, in the order of the grid; an axis with one value names nothing."""
    varying = [axis.key for axis in axes if axis.key != SEED and len(axis.values) > 1]
    found: list[Group] = []
    for combination, ran in members:
        setting = combination.setting
        if found and found[-1].setting == setting:
            found[-1] = Group(found[-1].label, setting, [*found[-1].members, (combination, ran)])
        else:
            found.append(Group(setting_label(setting, varying), setting, [(combination, ran)]))
    return found


def setting_label(setting: Mapping[str, Any], varying: Sequence[str]) -> str:
    """`lstm` where one key varies and its value says enough, else `core lstm, layers 2`."""
    names = short(varying)
    if len(varying) == 1 and isinstance(setting[varying[0]], str):
        return str(setting[varying[0]]) or "(empty)"
    return ", ".join(f"{names[key]} {shown(setting[key])}" for key in varying) or "runs"


def by_setting(members: Sequence[tuple[Combination, Ran]]) -> list[tuple[Combination, Ran]]:
    """The seeds of a setting one after another, wherever in the grid their axis stands."""
    places: dict[str, int] = {}
    for combination, _ in members:
        places.setdefault(repr(combination.setting), len(places))
    return sorted(members, key=lambda one: places[repr(one[0].setting)])


def metric_label(name: str) -> str:
    """For headings and axes of pictures."""
    return LABELS.get(name, name.replace("_", " "))


def scaled(name: str, value: float) -> float:
    """As it is shown: shares in percent."""
    return 100 * value if name in _SHARES else value


def spread(name: str, values: Sequence[float]) -> str:
    """Mean ± sample standard deviation."""
    if not values:
        return "-"
    shown_values = [scaled(name, value) for value in values]
    mean = f"{statistics.fmean(shown_values):.4g}"
    return f"{mean} ± {statistics.stdev(shown_values):.2g}" if len(values) > 1 else mean


def steps(threshold: Threshold, metric: str, curves: Sequence[Sequence[tuple[int, float]]]) -> str:
    """Median and range of the updates to the threshold; a run that never got there counts as infinitely late."""
    found = [first_beyond(metric, curve, threshold.value, threshold.consecutive) for curve in curves]
    if not found:
        return "-"
    late = [math.inf if step is None else step for step in found]
    median, reached = statistics.median(late), sum(step is not None for step in found)
    text = "not reached" if math.isinf(median) else f"{median:,.0f}"
    if len(found) == 1:
        return text
    if reached < len(found):
        return f"{text} ({reached} of {len(found)} runs)"
    return f"{text} ({min(late):,.0f} to {max(late):,.0f})"


def rule(threshold: Threshold, metric: str) -> str:
    """The threshold in words."""
    sign = "<" if metric in LOWER_IS_BETTER else ">"
    name, _, unit = metric_label(metric).partition(",")
    reached = f"{name} {sign} {scaled(metric, threshold.value):g}{unit}"
    return reached if threshold.consecutive == 1 else f"{reached}, first of {threshold.consecutive} in a row"


def main_table(comparison: Comparison) -> Table:
    """One row a setting, and one a published curve."""
    metric, threshold = comparison.metric, comparison.threshold
    name = metric_label(metric)
    header = ["", "runs", "parameters", f"best {name}", f"final {name}", "seconds", "peak memory, MiB"]
    rows = [_row(group, metric) for group in comparison.groups]
    rows += [_published_row(curve, metric) for curve in comparison.published]
    if threshold is not None:
        header.insert(3, "updates to threshold")
        found = [group.curves(metric) for group in comparison.groups]
        for row, curves in zip(rows, [*found, *([curve.points] for curve in comparison.published)], strict=True):
            row.insert(3, steps(threshold, metric, curves))
    note = "Mean ± standard deviation over seeds; best and final are of validation, memory is the largest run's."
    if threshold is not None:
        note += f" Threshold: {rule(threshold, metric)}; median over seeds (lowest to highest)."
    return Table("Settings", header, rows, note)


def _row(group: Group, metric: str) -> list[str]:
    done = [ran for _, ran in group.trained]
    values = [[value for _, value in curve] for curve in group.curves(metric)]
    best = [value for one in values if (value := best_of(metric, one)) is not None]
    count = f"{len(done)}" if len(done) == len(group.members) else f"{len(done)} of {len(group.members)}"
    parameters = [ran.parameters for ran in done if ran.parameters is not None]
    peaks = [ran.peak_mib for ran in done if ran.peak_mib is not None]
    return [
        group.label,
        count,
        f"{max(parameters):,}" if parameters else "-",
        spread(metric, best),
        spread(metric, [one[-1] for one in values]),
        spread("seconds", [ran.seconds for ran in done if ran.seconds is not None]),
        f"{max(peaks):,}" if peaks else "-",
    ]


def _published_row(curve: Curve, metric: str) -> list[str]:
    values = [value for _, value in curve.points]
    best = best_of(metric, values)
    return [
        curve.label,
        "1",
        "-",
        spread(metric, [] if best is None else [best]),
        spread(metric, values[-1:]),
        "-",
        "-",
    ]


def scores_table(comparison: Comparison) -> Table | None:
    """One row a run with what it scored on the test set; None where no run was scored."""
    scored = [(group, one, ran) for group in comparison.groups for one, ran in group.trained if ran.scores]
    present = dict.fromkeys(
        name for _, _, ran in scored for name, value in ran.scores.items() if _is_score(name, value)
    )
    names = [name for name in LABELS if name in present] + [name for name in present if name not in LABELS]
    if not names:
        return None
    rows = [
        [group.label, shown(one.config.training.seed), *(_with_interval(ran.scores, name) for name in names)]
        for group, one, ran in scored
    ]
    bounds = any("intervals" in ran.scores for _, _, ran in scored)
    note = "± is half the width of the 95 % bootstrap interval. " if bounds else ""
    signatures = {text for _, _, ran in scored for text in ran.scores.get("signatures", {}).values()}
    note += " ".join(f"sacreBLEU signature {text}." for text in sorted(signatures))
    return Table("Test scores", ["", "seed", *map(metric_label, names)], rows, note.strip())


def gradient_table(comparison: Comparison) -> Table | None:
    """One row a setting: the gradient's norm at some distances, before and after training, medians over seeds."""
    found = [
        (group, [one for _, ran in group.trained if (one := ran.scores.get("gradient"))]) for group in comparison.groups
    ]
    distances = sorted({distance for _, runs in found for run in runs for distance, _ in run["fresh"]})
    if not distances:
        return None
    far = distances[-1]
    shown_at = sorted({min(distances, key=lambda one: abs(one - far * part / 4)) for part in (0, 1, 2, 4)})
    names = ("fresh", "trained")
    rows = [
        [group.label, *(_median_at(runs, name, distance) for name in names for distance in shown_at)]
        for group, runs in found
        if runs
    ]
    header = ["", *(f"{name}, {distance:,} steps" for name in names for distance in shown_at)]
    note = "Norm of the gradient of the last answer's loss by what is read so many steps before; median over seeds."
    return Table("Gradient by distance in time", header, rows, note)


def _median_at(runs: Sequence[Mapping[str, Any]], name: str, distance: int) -> str:
    values = [dict(map(tuple, run[name])).get(distance, math.inf) for run in runs]
    return f"{statistics.median(values):.2g}"


def _is_score(name: str, value: Any) -> bool:
    return name not in _NO_SCORES and isinstance(value, float)


def _with_interval(scores: Mapping[str, Any], name: str) -> str:
    if not isinstance(scores.get(name), (int, float)):
        return "-"
    text = f"{scaled(name, scores[name]):.4g}"
    interval = scores.get("intervals", {}).get(name)
    return text if interval is None else f"{text} ± {scaled(name, interval['half']):.2g}"


def failures_table(comparison: Comparison) -> Table | None:
    """Runs that are not done, and why."""
    rows = [
        [one.name, ran.state, ran.why or "-"]
        for group in comparison.groups
        for one, ran in group.members
        if ran.state != "done"
    ]
    return Table("Runs that are not done", ["run", "state", "why"], rows) if rows else None
