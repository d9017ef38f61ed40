"""MODEL_CARD.md: what a bundle's networks are for, what they were trained on, and how well they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskwatch.manifest import Manifest


def model_card(manifest: Manifest, sizes_bytes: Mapping[str, int]) -> str:
    """The card as Markdown, after Mitchell et al. 2019; every figure comes from the manifest."""
    report: Mapping[str, Any] = manifest.report
    classification, detection = report["classification"], report["detection"]
    bare, masked = classification["without_mask"], classification["with_mask"]
    low, high = classification["accuracy_interval_95"]
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        "Finds faces in a camera's frame and says of each whether it wears a face mask properly, on a Raspberry Pi.",
        "",
        "## Intended use",
        "",
        "A light and a buzzer at a door. Not for identifying people, for denying entry unattended, or as a medical",
        "device. A mask below the nose counts as not worn. Faces under some 20 px, in profile, or covered by hands or",
        "scarves are judged less well.",
        "",
        "## Networks",
        "",
        "| network | input | int8 file |",
        "|---|---|---|",
    ]
    if manifest.finder is not None:
        finder = manifest.finder
        lines.append(f"| face finder | {finder.width_px}×{finder.height_px} RGB | {sizes_bytes[finder.file]:,} bytes |")
    classifier = manifest.classifier
    lines += [
        f"| {classifier.architecture} | {classifier.size_px}×{classifier.size_px} RGB "
        f"| {sizes_bytes[classifier.file]:,} bytes |",
        "",
        "## Accuracy",
        "",
        f"Test split of {classification['pictures']} photographs, int8, through the pipeline that serves;",
        "near-duplicates of training photographs are not in it.",
        "",
        "| pictures | precision | recall | F1 |",
        "|---|---|---|---|",
        f"| without mask | {_share(bare['precision'])} | {_share(bare['recall'])} | {_share(bare['f1'])} |",
        f"| with mask | {_share(masked['precision'])} | {_share(masked['recall'])} | {_share(masked['f1'])} |",
        "",
        f"Accuracy {_share(classification['accuracy'])} (95 % interval {_share(low)} to {_share(high)}).",
        f"Expected calibration error of P(mask) {_share(classification['expected_calibration_error'])}.",
    ]
    if detection is not None:
        bands = list(detection["ap50"]["face"])
        lines += [
            "",
            f"Faces in {detection['pictures']} scenes, average precision at IoU 0.5, by height of the face:",
            "",
            "| | " + " | ".join(_band(band) for band in bands) + " |",
            "|---" * (len(bands) + 1) + "|",
        ]
        for target, values in detection["ap50"].items():
            lines.append(f"| {target} | " + " | ".join(_share(values[band]) for band in bands) + " |")
        score, mask = (detection["calibration"][name] for name in ("score", "mask"))
        lines += [
            "",
            f"Expected calibration error, faces ≥ {score['smallest_height_px']} px: score "
            f"{_share(score['expected_calibration_error'])}, P(mask) {_share(mask['expected_calibration_error'])}.",
        ]
    lines += [
        "",
        "## Data",
        "",
        "Kaggle's `omkargurav/face-mask-dataset` and `andrewmvd/face-mask-detection` (or a part of them), split by",
        "group of near-duplicates. Most faces are of adults in China and of celebrities, by daylight; other people,",
        "other light and other masks may be judged less well. Measure at your own door before you rely on it.",
        "",
        "Training data, code and seed are in `manifest.json` under `training`.",
        "",
    ]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _band(key: str) -> str:
    return "all" if key == "all" else f"≥ {key.removeprefix('min_height_').removesuffix('_px')} px"
