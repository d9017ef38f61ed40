"""Draws a comparison of sizes: accuracy over time, the widths and the sizes each as a line."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from maskwatch_train.plots import BLUE, INK, LEFT_INCHES, QUIET, VERMILLION, WIDTH_INCHES, Look, legend, page, plain
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from maskwatch_convert.tune import Measured
from maskwatch_convert.tune_report import COMPARED, TuneReport

HEIGHT_INCHES: Final = 7.0
SERIES: Final[dict[str, Look]] = {
    "widths": {"color": BLUE, "marker": "o", "linestyle": "-", "label": "widths, at the input that ships"},
    "sizes": {"color": VERMILLION, "marker": "s", "linestyle": "--", "label": "inputs, at the width that ships"},
}
INTERVAL: Final[Look] = {"color": QUIET, "alpha": 0.45, "linewidth": 1}
OUTLINE: Final[Look] = {"markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.3}


def draw_comparison(path: Path, report: TuneReport) -> None:
    """Draw one PNG: a marker a candidate with its name, a ring around what ships, a diamond around the knee."""
    comparison = report.comparison
    figure, height = page(HEIGHT_INCHES, f"Sizes of the {report.network}, compared", report.conditions())
    below_title = 1 - 1.02 / height
    for line, words in enumerate((report.schedule(), report.context.line())):
        figure.text(LEFT_INCHES / WIDTH_INCHES, below_title - line * 0.24 / height, words, fontsize=10, color=QUIET,
                    va="center")  # fmt: skip
    axes = figure.add_axes((0.075, 0.75 / height, 0.895, 1 - 2.25 / height))
    plain(axes, "", "milliseconds of one int8 run, one thread (median)", COMPARED[report.network])
    keys: list[Line2D | Patch] = []
    for name, look in SERIES.items():
        members = [each for each in comparison.measured if name in each.candidate.series]
        times, accuracies = [each.time.median_ms for each in members], [each.accuracy for each in members]
        axes.plot(times, accuracies, **look, markersize=8, linewidth=1.4, markeredgecolor="white", zorder=4)
        keys.append(Line2D([], [], **look, markersize=7))
    for measured in comparison.measured:
        _interval(axes, measured)
        _label(axes, measured, ", ".join(report.marks(measured)))
    for word, measured, marker, size in (("shipped", comparison.shipped, "o", 17), ("knee", comparison.knee, "D", 22)):
        axes.plot(measured.time.median_ms, measured.accuracy, marker, markersize=size, **OUTLINE, zorder=5)
        label = f"{word}: {measured.candidate.name}"
        keys.append(Line2D([], [], linestyle="", marker=marker, markersize=12, **OUTLINE, label=label))
    if "accuracy_low" in comparison.measured[0].figures:
        keys.append(Line2D([], [], **INTERVAL, label="95% interval (Wilson)"))
    axes.set_xlim(0, 1.1 * max(each.time.median_ms for each in comparison.measured))
    axes.margins(y=0.18)
    legend(axes, keys, "best", labelspacing=0.9)
    figure.savefig(path)


def _interval(axes: Axes, measured: Measured) -> None:
    ends = [measured.figures[end] for end in ("accuracy_low", "accuracy_high") if end in measured.figures]
    if ends:
        axes.plot((measured.time.median_ms,) * 2, ends, **INTERVAL, zorder=2)


def _label(axes: Axes, measured: Measured, word: str) -> None:
    """Inputs above to the left of their points, widths below to the right: the lines rise between them."""
    candidate = measured.candidate
    names = {"sizes": candidate.size, "widths": f"×{candidate.width_ratio:g}"}
    shown = [series for series in names if series in candidate.series]
    for series in shown:
        side = -1 if series == "sizes" else 1
        axes.annotate(
            f"{names[series]} {word}".strip() if series == shown[0] else names[series],
            (measured.time.median_ms, measured.accuracy),
            xytext=(10 * side, -10 * side),
            textcoords="offset points",
            ha="right" if side < 0 else "left",
            va="bottom" if side < 0 else "top",
            fontsize=9,
            fontweight="bold" if word else "normal",
            color=SERIES[series]["color"],
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=6,
        )
