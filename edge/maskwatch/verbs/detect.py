"""`maskwatch detect`: every face in pictures, folders and videos."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

from maskwatch.errors import ExitCode, ImageError, OperatorError
from maskwatch.types import Frame, Image

HELP = "find every face in pictures, folders and videos, and say whether it wears a mask"
EXAMPLE = "  maskwatch detect --json --save annotated holiday/ queue.mp4"

NO_FACE = "no_face"
"""The image-level label where no face is found."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture, video, or folder of them")
    parser.add_argument("--json", action="store_true", help="one JSON object a line; a video's carry `frame` too")
    parser.add_argument(
        "--min-score", type=_ratio, metavar="S", help="drop faces that score below S, 0 to 1 (default: the bundle's)"
    )
    parser.add_argument("--save", type=Path, metavar="DIR", help="write annotated pictures there")
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="model bundle (default: the built-in one)")


def run(args: argparse.Namespace) -> ExitCode:
    """Detect in each path; what cannot be read is named, and the others are still answered."""
    from maskwatch.drawing import annotate
    from maskwatch.images import find_media, write_image
    from maskwatch.pipeline import load_pipeline
    from maskwatch.verbs.pictures import Outcome, chosen_bundle, json_line, text_line

    bundle = chosen_bundle(args.bundle)
    if bundle.manifest.finder is None:
        raise OperatorError(f"{bundle.path} holds no face finder: `detect` needs one; `classify` does without")
    if args.save is not None:
        _make_folder(args.save)
    pipeline = load_pipeline(bundle)
    outcome = Outcome()
    saved: set[str] = set()
    for path in args.paths:
        try:
            files = find_media(path)
        except ImageError as fault:
            outcome.failed(fault)
            continue
        for file in files:
            try:
                for number, image in _pictures(file):
                    faces = pipeline.faces(Frame(image, captured_s=0.0), args.min_score)
                    label, score = NO_FACE, 0.0
                    if faces:
                        label, score = faces[0].label.value, pipeline.classifier.confidence(faces[0].mask)
                    height_px, width_px = image.shape[:2]
                    if args.json:
                        print(json_line(str(file), width_px, height_px, label, score, faces, frame=number), flush=True)
                    else:
                        print(text_line(_named(file, number), label, score, faces), flush=True)
                    if args.save is not None:
                        name = _free_name(_flat_name(file, path, number), saved)
                        write_image(args.save / name, annotate(image, faces))
                    outcome.answered += 1
            except ImageError as fault:
                outcome.failed(fault)
    return outcome.exit_code


def _pictures(file: Path) -> Iterator[tuple[int | None, Image]]:
    """A picture as itself; a video as its numbered frames, from 0."""
    from maskwatch.cameras.files import read_video
    from maskwatch.images import VIDEO_SUFFIXES, read_image

    if file.suffix.lower() in VIDEO_SUFFIXES:
        for number, (image, _) in enumerate(read_video(file)):
            yield number, image
    else:
        yield None, read_image(file)


def _named(file: Path, number: int | None) -> str:
    return str(file) if number is None else f"{file} frame {number}"


def _flat_name(file: Path, asked: Path, number: int | None) -> str:
    """A name, without suffix, that tells where in the folder asked for a picture lies, and which frame it is."""
    inside = file.relative_to(asked) if file != asked else Path(file.name)
    flat = "__".join(inside.parts)
    return flat if number is None else f"{flat}-{number:06d}"


def _free_name(stem: str, taken: set[str]) -> str:
    """The file name for an annotated picture; numbered where this call has saved one of that name from elsewhere."""
    name, again = f"{stem}.jpg", 2
    while name in taken:
        name, again = f"{stem}~{again}.jpg", again + 1
    taken.add(name)
    return name


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"{folder} cannot be made: {error.strerror}; name one that you may write to") from error


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value
