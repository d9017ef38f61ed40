"""Faces followed over frames: votes make a person's label steady. Pure; the frame's timestamps are its only clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from maskwatch.config import TrackerSettings
from maskwatch.types import Box, Face, Label, Person

MIN_VOTE_WEIGHT = 0.1
"""Weight of a vote cast at P(mask) = 0.5: next to nothing, yet many of them still decide."""

MAX_MISSED_FRAMES = 100
"""A face missed in so many frames in a row is forgotten, even where timestamps stand still."""


@dataclass(slots=True, eq=False)  # two tracks are never the same person, whatever they hold
class _Track:
    """One person's memory. `votes` holds (label, weight) of the latest frames."""

    track_id: int
    face: Face
    votes: deque[tuple[Label, float]]
    label: Label | None = None
    frames_seen: int = 0
    missed_frames: int = 0
    missed_seconds: float = 0.0

    def person(self) -> Person:
        return Person(self.track_id, self.face, self.label, self.frames_seen)


class Tracker:
    """Gives each face a `track_id` that lasts while the face is in view, and a label that many frames agree on."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._last_s: float | None = None

    def update(self, faces: Sequence[Face], captured_s: float) -> tuple[Person, ...]:
        """Take in the faces of the next frame.

        Returns the persons of these faces, in their order, then those who have been labelled and are lost from sight
        for `max_missed_seconds` at most, with the last face seen of each. A `captured_s` that stands still or jumps
        back counts as no time passed.
        """
        elapsed_s = 0.0 if self._last_s is None else max(0.0, captured_s - self._last_s)
        self._last_s = captured_s
        partners = self._match(faces)
        lost = self._lost([track for track in self._tracks if track not in partners.values()], elapsed_s)
        seen = []
        for index, face in enumerate(faces):
            track = partners.get(index)
            if track is None:
                track = _Track(self._next_id, face, deque(maxlen=self._settings.window_frames))
                self._next_id += 1
            self._vote(track, face)
            seen.append(track)
        self._tracks = seen + lost
        return tuple(track.person() for track in seen + [track for track in lost if track.label is not None])

    def _match(self, faces: Sequence[Face]) -> dict[int, _Track]:
        """Pair faces with tracks, best overlap first; each is used once. Returns the track of each matched face."""
        reach_ratio = self._settings.reach_ratio
        grown_faces = [_grown(face.box, reach_ratio) for face in faces]
        grown_tracks = [_grown(track.face.box, reach_ratio) for track in self._tracks]
        pairs = [
            (iou, face_index, track_index)
            for face_index, face_box in enumerate(grown_faces)
            for track_index, track_box in enumerate(grown_tracks)
            if (iou := face_box.iou(track_box)) >= self._settings.min_iou
        ]
        pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
        partners: dict[int, int] = {}
        for _, face_index, track_index in pairs:
            if face_index not in partners and track_index not in partners.values():
                partners[face_index] = track_index
        return {face_index: self._tracks[track_index] for face_index, track_index in partners.items()}

    def _lost(self, tracks: list[_Track], elapsed_s: float) -> list[_Track]:
        """Count a missed frame for tracks that found no face; returns those that are still remembered."""
        for track in tracks:
            track.missed_frames += 1
            track.missed_seconds += elapsed_s
        return [
            track
            for track in tracks
            if track.missed_seconds <= self._settings.max_missed_seconds and track.missed_frames <= MAX_MISSED_FRAMES
        ]

    def _vote(self, track: _Track, face: Face) -> None:
        """Add a face's vote; the label changes only where a clear majority of the window wants another."""
        track.face = face
        track.frames_seen += 1
        track.missed_frames, track.missed_seconds = 0, 0.0
        track.votes.append((face.label, max(MIN_VOTE_WEIGHT, abs(2 * face.mask - 1))))
        if len(track.votes) < self._settings.votes_needed:
            return
        total = sum(weight for _, weight in track.votes)
        for label in Label:
            share = sum(weight for voted, weight in track.votes if voted is label) / total
            if share > 0.5 and share >= self._settings.majority_ratio:
                track.label = label


def _grown(box: Box, ratio: float) -> Box:
    """A box with `ratio` of its size added on each side, so that a face that moves fast still overlaps itself."""
    grow_x, grow_y = box.width * ratio, box.height * ratio
    return Box(box.xmin - grow_x, box.ymin - grow_y, box.xmax + grow_x, box.ymax + grow_y)
