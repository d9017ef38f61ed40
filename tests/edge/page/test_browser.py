"""The page in a real browser, where one is installed: its script runs under its own policy and shows what there is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from maskwatch.page.board import Board
from maskwatch.page.figures import as_json
from maskwatch.page.hints import Aim, Hint, Trouble
from maskwatch.page.picture import jpeg
from maskwatch.page.server import PageServer
from maskwatch.types import Box
from sights import face, sight

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

SEEN = sight(1)
FACES = (face(Box(20, 30, 320, 430), 0.02), face(Box(900, 30, 930, 71), 0.98))


class Always:
    """A new picture whenever one is asked for."""

    def picture(self, after: int, patience_s: float) -> tuple[int, bytes]:
        return after + 1, jpeg(SEEN.frame, FACES)


def shown(figures: Mapping[str, object], folder: Path) -> str:
    """The page as the browser has it after a moment."""
    with PageServer(0, Always(), lambda: figures) as server, server.serving():
        done = subprocess.run(
            [
                str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}",
                "--virtual-time-budget=1500", "--dump-dom", server.url,
            ],
            capture_output=True, text=True, timeout=100, check=True,
        )  # fmt: skip
    return done.stdout


def test_hints_faces_and_picture(tmp_path: Path) -> None:
    aim = Aim(21.0, (Hint(Trouble.DARK, "give <b>more</b> light"),))
    board = Board(type(SEEN)(1, SEEN.frame, FACES, aim, 9.5), "", 581.0)
    page = shown(as_json(board, "v4l2:0", "tiny 1.2.3", 48), tmp_path)
    assert 'src="blob:http://127.0.0.1:' in page
    assert 'alt="What the camera sees: no mask, mask"' in page
    assert '! too dark</span><span class="">: give &lt;b&gt;more&lt;/b&gt; light</span>' in page
    assert 'class="trouble"' in page
    assert '<dd id="rate">9.5</dd>' in page
    assert "v4l2:0 with tiny 1.2.3" in page
    assert "✗ no mask 0.98" in page
    assert "✓ mask 0.98" in page
    assert "41 px high, ignored: under 48" in page
    assert "9:41 min" in page


def test_a_lost_camera(tmp_path: Path) -> None:
    page = shown(as_json(Board(SEEN, "pulled out", 9.0), "v4l2:0", "tiny 1.2.3", 48), tmp_path)
    assert "No camera: pulled out. Trying again …" in page
    assert 'class="stale"' in page
    assert "no mask" not in page.split("<script")[0]
