"""Which of several candidates to ship: the knee of accuracy over time."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]
"""Time (any unit, finite) and accuracy (0 to 1) of one candidate."""

SAME_ACCURACY = 0.01
"""What some hundred validation pictures cannot tell apart: less than this is not worth a millisecond."""

_STRAIGHT = 1e-9


def frontier(points: Sequence[Point]) -> tuple[int, ...]:
    """Indices of the candidates that no other equals or beats in both, the quickest first: accuracy rises with time."""
    kept: list[int] = []
    for index in sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1])):
        if not kept or points[index][1] > points[kept[-1]][1]:
            kept.append(index)
    return tuple(kept)


def knee(points: Sequence[Point]) -> int:
    """Index of the candidate at the knee, after which a millisecond buys less than it did before.

    Both axes are scaled to 0 to 1 over the frontier, from its quickest candidate to its most accurate one; the knee
    stands farthest above the straight line between these two (Satopaa et al. 2011, "Finding a Kneedle in a Haystack").
    Where all of the frontier is within SAME_ACCURACY it is the quickest; where nothing stands above the line, each
    millisecond buys as much as the one before, and it is the most accurate.

    `points` holds one or more.
    """
    front = frontier(points)
    (least_time, least), (most_time, most) = points[front[0]], points[front[-1]]
    if most - least < SAME_ACCURACY:
        return front[0]

    def above_line(index: int) -> float:
        time, accuracy = points[index]
        return (accuracy - least) / (most - least) - (time - least_time) / (most_time - least_time)

    highest = max(front, key=above_line)
    return highest if above_line(highest) > _STRAIGHT else front[-1]
