"""What a preview shows, as plain figures and words: for the page as JSON, for the terminal as a line."""

from __future__ import annotations

from maskwatch.page.board import Board, Sight
from maskwatch.types import Face, Label

NOBODY = "stand where people will stand"

WORDS = {Label.WITH_MASK: "mask", Label.WITHOUT_MASK: "no mask"}


def as_json(board: Board, source: str, model: str, min_face_height_px: int) -> dict[str, object]:
    """All figures of one moment. Boxes and heights are in pixels of the camera's picture, `brightness` is 0 to 255."""
    return {
        "source": source,
        "model": model,
        "min_face_height_px": min_face_height_px,
        "seconds_left": round(board.seconds_left, 1),
        "no_camera": board.lost or None,
        "sight": None if board.sight is None or board.lost else _sight_json(board.sight),
    }


def as_line(board: Board) -> str:
    """The same for a terminal, the most important first, as a narrow one cuts off the end."""
    words = [f"{clock_words(board.seconds_left)} left"]
    if board.lost:
        words.append(f"no camera: {board.lost}; trying again")
    elif board.sight is None:
        words.append("waiting for the camera")
    else:
        sight = board.sight
        light = f"light {sight.aim.brightness:.0f}/255"
        words += [f"{sight.frames_per_second:.1f} fps", light, faces_words(sight.faces)]
        words += [str(hint) for hint in sight.aim.hints] or ["well aimed" if sight.faces else NOBODY]
    return " | ".join(words)


def faces_words(faces: tuple[Face, ...]) -> str:
    """Every face's label and height, as `2 faces: no mask 210 px, mask 95 px`."""
    if not faces:
        return "no face"
    each = ", ".join(f"{WORDS[face.label]} {face.box.height:.0f} px" for face in faces)
    return f"{len(faces)} face{'s' if len(faces) > 1 else ''}: {each}"


def clock_words(seconds: float) -> str:
    """Minutes and seconds, as `9:41`."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def _sight_json(sight: Sight) -> dict[str, object]:
    return {
        "serial": sight.serial,
        "width": sight.frame.width_px,
        "height": sight.frame.height_px,
        "frames_per_second": round(sight.frames_per_second, 1),
        "brightness": round(sight.aim.brightness),
        "hints": [{"trouble": hint.trouble.value, "advice": hint.advice} for hint in sight.aim.hints],
        "faces": [
            {
                "box": [round(edge, 1) for edge in (face.box.xmin, face.box.ymin, face.box.xmax, face.box.ymax)],
                "height_px": round(face.box.height),
                "label": face.label.value,
                "words": WORDS[face.label],
                "mask": round(face.mask, 3),
                "score": round(face.score, 3),
            }
            for face in sight.faces
        ],
    }
