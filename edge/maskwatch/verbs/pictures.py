"""What `classify` and `detect` share: the contract's JSON object, and going on past a picture that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, MaskwatchError
from maskwatch.types import Face
from maskwatch.verbs.plain import one_line, print_fault

if TYPE_CHECKING:
    from maskwatch.bundle import Bundle


def json_line(
    path: str, width_px: int, height_px: int, label: str, score: float, faces: Sequence[Face], frame: int | None = None
) -> str:
    """One result as the command line's contract has it, in ASCII: boxes in pixels of the file after EXIF rotation.

    `frame`, the number of a video's frame, is a further key where it is given.
    """
    record: dict[str, object] = {
        "path": path,
        "width": width_px,
        "height": height_px,
        "label": label,
        "score": round(score, 4),
        "faces": [
            {
                "box": [round(edge, 1) for edge in (face.box.xmin, face.box.ymin, face.box.xmax, face.box.ymax)],
                "score": round(face.score, 4),
                "label": face.label.value,
                "mask": round(face.mask, 4),
            }
            for face in faces
        ],
    }
    if frame is not None:
        record["frame"] = frame
    return json.dumps(record, allow_nan=False)


def text_line(path: str, label: str, score: float, faces: Sequence[Face]) -> str:
    """One result for people."""
    masked = sum(face.label.value == "with_mask" for face in faces)
    counted = f"{len(faces)} face{'' if len(faces) == 1 else 's'}, {masked} masked" if faces else "no face"
    return f"{one_line(path)}: {label} {score:.2f} ({counted})"


def chosen_bundle(path: Path | None) -> Bundle:
    """The bundle named on the command line, or the built-in one."""
    from maskwatch.bundle import default_bundle_path, open_bundle

    return open_bundle(path or default_bundle_path())


class Outcome:
    """Counts what was answered and what could not be read, and knows the exit code that says so."""

    def __init__(self) -> None:
        self.answered = 0
        self._last_fault: MaskwatchError | None = None

    def failed(self, fault: MaskwatchError) -> None:
        """Say what is wrong with one picture; the others are still answered."""
        print_fault(fault)
        self._last_fault = fault

    @property
    def exit_code(self) -> ExitCode:
        """0 all answered; 1 some were; else the fault's own."""
        if self._last_fault is None:
            return ExitCode.DONE
        return ExitCode.FINDING if self.answered else self._last_fault.exit_code
