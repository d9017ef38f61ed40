"""The soak as a picture: memory and frames a second over time, with the camera's deaths."""

from __future__ import annotations

from pathlib import Path

from soak_figures import FIFTHS, MB, Plan, Result, fifth, rates


def plot(plan: Plan, result: Result, title: str, path: Path) -> bool:
    """Write the picture; False where matplotlib is not installed, or there is nothing to draw."""
    if len(result.samples) < FIFTHS:
        return False
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    samples = result.samples
    minutes = [sample.at_s / 60 for sample in samples]
    figure = Figure(figsize=(9, 6), layout="constrained")
    memory, speed = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    memory.plot(minutes, [sample.resident_bytes / MB for sample in samples], color="#0b62a4", label="resident")
    memory.plot(minutes, [sample.private_bytes / MB for sample in samples], color="#b4501e", ls="--", label="private")
    for number, words in ((0, "warm-up"), (1, "second fifth"), (FIFTHS - 1, "last fifth")):
        part = fifth(minutes, number)
        memory.axvspan(part[0], part[-1], color="0.75" if number == 0 else "0.9", zorder=0)
        memory.annotate(
            words, ((part[0] + part[-1]) / 2, 0.02), xycoords=("data", "axes fraction"), ha="center", color="0.3"
        )
    memory.set(ylabel="memory, MB", title=f"{title}: {plan.frames_per_second:g} frames a second offered")
    memory.margins(y=0.25)
    memory.legend(loc="upper right")
    speed.plot(minutes[1:], rates(samples), color="#0b62a4")
    speed.set(
        xlabel="minutes since the daemon was ready",
        ylabel="frames judged\na second",
        ylim=(0, 1.4 * max(rates(samples))),
    )
    for axes in (memory, speed):
        for number, outage in enumerate(result.outages):
            label = "camera killed" if number == 0 and axes is speed else None
            axes.axvline(outage.killed_s / 60, color="#888888", lw=0.8, ls=":", label=label)
    if result.outages:
        speed.legend(loc="upper right")
    figure.savefig(path, dpi=110)
    return True
