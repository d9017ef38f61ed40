"""Draws evaluations side by side on one page.

Figures are made without pyplot, so nothing global is touched and no display is needed.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from maskwatch.types import Label
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from maskwatch_train.average_precision import HEIGHT_BANDS_PX, TARGETS
from maskwatch_train.evaluate import Evaluation
from maskwatch_train.metrics import ClassificationMetrics, Curve

# The palette of Okabe and Ito (jfly.uni-koeln.de/color): told apart with every common kind of colour blindness.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PIPELINE_COLOURS: Final = ("#3B4754", "#E69F00", "#56B4E9", "#CC79A7")
PIPELINE_LINES: Final = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
LABEL_COLOURS: Final = {Label.WITH_MASK: BLUE, Label.WITHOUT_MASK: VERMILLION}
TARGET_COLOURS: Final = {"face": GREEN, "masked": BLUE, "unmasked": VERMILLION}
WORDS: Final = {Label.WITH_MASK: "with mask", Label.WITHOUT_MASK: "without mask"}
INK, QUIET, RULE = "#1F2933", "#52606D", "#D9DEE4"

DPI: Final = 110
WIDTH_INCHES: Final = 13.0
LEFT_INCHES: Final = 0.5
ROW_INCHES: Final = 4.5
CURVE_HEIGHT_PX: Final = 32
"""Detection curves are drawn for faces from this height up."""

T = TypeVar("T")
Evaluations = Mapping[str, Evaluation]
Classified = Mapping[str, ClassificationMetrics]
Look = dict[str, Any]
"""Keyword arguments of matplotlib's."""


def draw_report(path: Path, evaluations: Evaluations, subtitle: str) -> None:
    """Draw confusion matrices, precision over recall, calibration and AP by face height as one PNG."""
    classified = {name: each.classification for name, each in evaluations.items() if each.classification}
    detected = {name: each for name, each in evaluations.items() if each.detection}
    rows = max(1, 2 * bool(classified) + bool(detected))
    figure, height = page(1.2 + ROW_INCHES * rows, "Maskwatch evaluation", subtitle)
    grid = figure.add_gridspec(rows, 1, left=0.075, right=0.97, top=1 - 1.6 / height, bottom=0.65 / height, hspace=0.42)
    if classified:
        cells = grid[0].subgridspec(1, max(3, len(classified)), wspace=0.5)
        for column, (name, metrics) in enumerate(classified.items()):
            _confusion(figure.add_subplot(cells[column]), name, metrics)
        if len(classified) < 3:
            _key_figures(figure.add_subplot(cells[2]), classified)
        cells = grid[1].subgridspec(1, 2, wspace=0.2)
        _label_curves(figure.add_subplot(cells[0]), {name: evaluations[name] for name in classified})
        _calibration(figure.add_subplot(cells[1]), classified)
    if detected:
        cells = grid[rows - 1].subgridspec(1, 2, wspace=0.2)
        _detection_curves(figure.add_subplot(cells[0]), detected)
        bars = cells[1].subgridspec(1, len(TARGETS), wspace=0.1)
        for column, target in enumerate(TARGETS):
            _height_bars(figure.add_subplot(bars[column]), target, detected, leftmost=column == 0)
    figure.savefig(path)


def page(height_inches: float, title: str, subtitle: str) -> tuple[Figure, float]:
    """An empty page WIDTH_INCHES wide with its title, and its height in inches."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    left = LEFT_INCHES / WIDTH_INCHES
    figure.text(left, 1 - 0.42 / height_inches, title, fontsize=18, fontweight="bold", color=INK, va="center")
    figure.text(left, 1 - 0.78 / height_inches, subtitle, fontsize=10, color=QUIET, va="center")
    return figure, height_inches


def plain(axes: Axes, title: str, x: str = "", y: str = "", pad: float = 10) -> None:
    """Title, axis labels and light rules, alike in every plot."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=pad)
    axes.set_xlabel(x, fontsize=9, color=QUIET)
    axes.set_ylabel(y, fontsize=9, color=QUIET)
    axes.tick_params(labelsize=9, colors=QUIET, length=0)
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def legend(axes: Axes, keys: Sequence[Line2D | Patch], place: str, **layout: Any) -> None:
    """A key without a frame, alike in every plot."""
    style: Look = {"fontsize": 9, "framealpha": 0.9, "edgecolor": "none", "labelcolor": INK}
    axes.legend(handles=list(keys), loc=place, **(style | {"handlelength": 2.8} | layout))


def _cycled(values: Sequence[T], count: int) -> list[T]:
    return [values[index % len(values)] for index in range(count)]


def _tint(colour: str, strength: float) -> tuple[float, float, float]:
    """White at 0, the colour itself at 1."""
    red, green, blue = (1 - (1 - channel) * strength for channel in to_rgb(colour))
    return red, green, blue


def _confusion(axes: Axes, name: str, metrics: ClassificationMetrics) -> None:
    """Right answers in blue, wrong ones in vermillion; a tint's strength is its share of the true label."""
    low, high = metrics.accuracy_interval
    plain(axes, name, "said", "is", pad=24)
    accuracy = f"accuracy {metrics.accuracy:.1%}  (95%: {low:.1%} to {high:.1%})"
    axes.text(0, 1.03, accuracy, transform=axes.transAxes, fontsize=9, color=QUIET)
    for truth, counts in enumerate(metrics.confusion):
        for said, count in enumerate(counts):
            share = count / max(sum(counts), 1)
            right = truth == said
            strength = 0.12 + 0.78 * share if right else min(1.0, 0.06 + 1.6 * share)
            tint = _tint(BLUE if right else VERMILLION, strength)
            axes.add_patch(Rectangle((said - 0.48, truth - 0.48), 0.96, 0.96, facecolor=tint, linewidth=0))
            ink = "white" if strength > 0.55 else INK
            style: Look = {"ha": "center", "va": "center", "color": ink}
            axes.text(said, truth - 0.06, f"{count}", fontsize=17, fontweight="bold", **style)
            axes.text(said, truth + 0.24, f"{share:.1%}", fontsize=9, **style)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), aspect="equal", anchor="W")
    axes.grid(visible=False)
    axes.set_xticks((0, 1), ("without\nmask", "with\nmask"))
    axes.set_yticks((0, 1), ("without\nmask", "with\nmask"))


def _key_figures(axes: Axes, classified: Classified) -> None:
    """The figures of both labels as a small table, where the page has room beside the matrices."""
    rows: list[list[str]] = [[""] + [textwrap.shorten(name, 28, placeholder="…") for name in classified]]
    for label, word in WORDS.items():
        scores = [getattr(metrics, label.value) for metrics in classified.values()]
        for key, figure in (("precision", "precision"), ("recall", "recall"), ("F1", "f1")):
            rows.append([f"{word}  {key}", *(f"{getattr(each, figure):.4f}" for each in scores)])
    rows.append(["calibration error", *(f"{metrics.calibration_error:.4f}" for metrics in classified.values())])
    rows.append(["pictures", *(str(metrics.pictures) for metrics in classified.values())])
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for line, (name, *cells) in enumerate(rows):
        y = 0.93 - line * 0.105
        axes.text(0, y, name, fontsize=9, color=INK)
        for column, cell in enumerate(cells):
            x, words = 1 - 0.25 * (len(cells) - 1 - column), "\n".join(textwrap.wrap(cell, 10)) if line == 0 else cell
            place, size, weight = ("baseline", 9.0, "normal") if line else ("bottom", 7.5, "bold")
            axes.text(x, y, words, ha="right", va=place, color=INK, fontsize=size, weight=weight)
        axes.plot((0, 1), (y - 0.035, y - 0.035), color=RULE, linewidth=0.8, clip_on=False)


def _curve_keys(colours: Mapping[str, str], names: Sequence[str], *, marked: bool) -> list[Line2D | Patch]:
    """Legend keys: what each colour means, then, with several pipelines, what each style of line means."""
    keys: list[Line2D | Patch] = [
        Line2D([], [], color=colour, linewidth=3, label=word) for word, colour in colours.items()
    ]
    if len(names) > 1:
        keys += [
            Line2D([], [], color=INK, linestyle=style, marker=mark if marked else "", markersize=5, label=name)
            for name, (style, mark) in zip(names, _cycled(PIPELINE_LINES, len(names)), strict=True)
        ]
    return keys


def _draw_curve(axes: Axes, curve: Curve, colour: str, style: str) -> None:
    """The line begins at recall 0 with the first point's precision."""
    if len(curve.recall):
        recall, precision = [0.0, *curve.recall], [curve.precision[0], *curve.precision]
        axes.plot(recall, precision, color=colour, linestyle=style, linewidth=1.8)


def _label_curves(axes: Axes, evaluations: Evaluations) -> None:
    """Curves of both labels, and a mark where the threshold in use stands; the axes show only what is above it."""
    plain(axes, "Precision over recall, whole pictures", "recall  (marks: the threshold in use)", "precision")
    lowest = 1.0
    for evaluation, (style, mark) in zip(evaluations.values(), _cycled(PIPELINE_LINES, len(evaluations)), strict=True):
        for label, curve in evaluation.curves.items():
            _draw_curve(axes, curve, LABEL_COLOURS[label], style)
            scores = getattr(evaluation.classification, label.value)
            if math.isnan(scores.precision) or math.isnan(scores.recall):
                continue
            look: Look = {"color": LABEL_COLOURS[label], "markeredgecolor": "white", "markersize": 9, "zorder": 4}
            axes.plot(scores.recall, scores.precision, mark, clip_on=False, **look)
            lowest = min(lowest, scores.recall, scores.precision)
    low = max(0.0, math.floor((lowest - 0.05) * 10) / 10)
    axes.set(xlim=(low, 1 + 0.01 * (1 - low)), ylim=(low, 1 + 0.02 * (1 - low)))
    axes.locator_params(nbins=5)
    colours = {WORDS[label]: colour for label, colour in LABEL_COLOURS.items()}
    legend(axes, _curve_keys(colours, list(evaluations), marked=True), "lower left")


def _calibration(axes: Axes, classified: Classified) -> None:
    """The share that wears a mask over the probability claimed; the area of a mark tells how many pictures it holds."""
    plain(axes, "Calibration", "P(mask) claimed  (larger marks: more pictures)", "share that wears a mask")
    perfect: Look = {"color": QUIET, "linewidth": 1, "linestyle": (0, (2, 3))}
    axes.plot((0, 1), (0, 1), **perfect)
    count, keys = len(classified), [Line2D([], [], label="perfect", **perfect)]
    for (name, metrics), colour, (style, mark) in zip(
        classified.items(), _cycled(PIPELINE_COLOURS, count), _cycled(PIPELINE_LINES, count), strict=True
    ):
        bins = [each for each in metrics.calibration if each.count]
        x, y = [each.mean_probability for each in bins], [each.share_with_mask for each in bins]
        sizes = [22 + 320 * each.count / metrics.pictures for each in bins]
        axes.plot(x, y, color=colour, linestyle=style, linewidth=1.5)
        axes.scatter(x, y, s=sizes, marker=mark, color=colour, edgecolor="white", zorder=3, clip_on=False)
        label = f"{name}: error {metrics.calibration_error:.3f}"
        keys.append(Line2D([], [], color=colour, linestyle=style, marker=mark, markersize=5, label=label))
    axes.set(xlim=(0, 1.005), ylim=(0, 1.02))
    legend(axes, keys, "upper left")


def _detection_curves(axes: Axes, detected: Evaluations) -> None:
    plain(axes, f"Precision over recall, faces of {CURVE_HEIGHT_PX} px and higher", "recall", "precision")
    for evaluation, (style, _) in zip(detected.values(), _cycled(PIPELINE_LINES, len(detected)), strict=True):
        for target, bands in (evaluation.detection or {}).items():
            _draw_curve(axes, bands[CURVE_HEIGHT_PX].curve, TARGET_COLOURS[target], style)
    axes.set(xlim=(0, 1.005), ylim=(0, 1.02))
    legend(axes, _curve_keys(TARGET_COLOURS, list(detected), marked=False), "lower left")


def _height_bars(axes: Axes, target: str, detected: Evaluations, *, leftmost: bool) -> None:
    """Bars of one target: a group for each face height, in it a bar for each pipeline."""
    several = len(detected) > 1
    plain(
        axes,
        "AP at IoU 0.5 by face height in px" if leftmost else "",
        target,
        pad=24 if several else 10,
    )
    axes.xaxis.label.set(color=TARGET_COLOURS[target], fontweight="bold", fontsize=10)
    colours = _cycled(PIPELINE_COLOURS, len(detected)) if several else [TARGET_COLOURS[target]]
    width = 0.84 / len(detected)
    for place, (evaluation, colour) in enumerate(zip(detected.values(), colours, strict=True)):
        bands = (evaluation.detection or {})[target]
        for column, height_px in enumerate(HEIGHT_BANDS_PX):
            value = bands[height_px].value
            if math.isnan(value):
                continue
            x = column + (place - (len(detected) - 1) / 2) * width
            axes.bar(x, value, width * 0.9, color=colour)
            words: Look = {"fontsize": 8, "rotation": 90} if several else {"fontsize": 9}
            axes.text(x, value + 0.015, f"{value:.2f}", ha="center", va="bottom", color=INK, **words)
    axes.set(xlim=(-0.55, len(HEIGHT_BANDS_PX) - 0.45), ylim=(0, 1.12))
    axes.set_xticks(range(len(HEIGHT_BANDS_PX)), [f"≥ {px}" if px else "all" for px in HEIGHT_BANDS_PX])
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.grid(visible=False, axis="x")
    if not leftmost:
        axes.set_yticklabels([])
    elif several:
        keys = [Patch(color=colour, label=name) for name, colour in zip(detected, colours, strict=True)]
        legend(axes, keys, "lower left", bbox_to_anchor=(-0.02, 0.985), ncols=len(keys), handlelength=1, borderpad=0)
