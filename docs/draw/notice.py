"""The notice for the door as one A4 page: what `privacy-notice.md` says above its rule, with the lights drawn in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

_STYLE = """
@page { size: A4; margin: 12mm 14mm; }
* { box-sizing: border-box; }
body { font: 13pt/1.33 Arial, "DejaVu Sans", sans-serif; color: #111; background: #fff; max-width: 182mm;
       margin: 0 auto; }
h1 { font-size: 31pt; line-height: 1.1; margin: 0 0 4mm; text-wrap: balance; }
h2 { font-size: 16pt; margin: 4.5mm 0 1.5mm; }
p { margin: 0 0 2mm; }
table { border-collapse: collapse; width: 100%; margin: 0 0 1mm; }
td { border-top: 0.3mm solid #999; padding: 1.2mm 0; vertical-align: middle; }
td:first-child { width: 62mm; }
td:last-child { padding-left: 5mm; }
svg { display: block; width: 60mm; height: auto; }
.fill { border-bottom: 0.3mm dotted #111; padding: 0 1mm; min-width: 20mm; color: #555; }
.help { background: #fff4ce; border: 0.3mm solid #b08800; padding: 2mm 3mm; margin: 4mm 0; }
@media print { .help { display: none; } .fill { color: #111; } }
""".strip()

_HELP = (
    "Click a dotted field and type; then print. This box is not printed. "
    "What to check before you hang the page up is in privacy-notice.md."
)


def page(markdown: str, pictures: Mapping[str, str]) -> str:
    """The page's text; `pictures` are SVGs by the paths that the Markdown names.

    It knows the Markdown that the notice is written in: headings, paragraphs, tables without a head, **bold**,
    pictures and [fields to fill in]. Raises ValueError where the rule is missing, KeyError for an unknown picture.
    """
    notice, rule, _ = markdown.partition("\n---\n")
    if not rule:
        raise ValueError("privacy-notice.md has no rule: what stands above it is the notice")
    blocks = [_block(block, pictures) for block in notice.strip().split("\n\n")]
    title = notice.lstrip("# ").partition("\n")[0]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{_STYLE}\n</style>",
            "</head>",
            "<body>",
            f'<div class="help">{escape(_HELP)}</div>',
            *blocks,
            "</body>",
            "</html>",
            "",
        ]
    )


def _block(block: str, pictures: Mapping[str, str]) -> str:
    if heading := re.fullmatch(r"(#{1,2}) (.+)", block):
        level = len(heading[1])
        return f"<h{level}>{_inline(heading[2], pictures)}</h{level}>"
    if block.startswith("|"):
        rows = [line.strip().strip("|").split("|") for line in block.splitlines()[2:]]  # past the head and its rule
        cells = ["".join(f"<td>{_inline(cell.strip(), pictures)}</td>" for cell in row) for row in rows]
        return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in cells) + "\n</table>"
    return f"<p>{_inline(' '.join(block.splitlines()), pictures)}</p>"


def _inline(words: str, pictures: Mapping[str, str]) -> str:
    if picture := re.fullmatch(r"!\[[^]]*]\(([^)]+)\)", words):
        return pictures[picture[1]].strip()
    words = escape(words, quote=False)
    words = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", words)
    return re.sub(r"\[([^]]+)]", r'<span class="fill" contenteditable="true">[\1]</span>', words)
