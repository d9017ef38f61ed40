"""`maskwatch data fetch` with Kaggle's real client, in its own process, against a stand-in of Kaggle on loopback."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from drawn import write_classification_set, write_detection_set
from maskwatch.errors import DataError
from maskwatch_train.fetch import DATA_SETS, fetch_all, unpack
from maskwatch_train.index import read_data

CHUNK_BYTES = 1 << 20  # the client writes to disk in pieces of this size
NAMES = [slug.partition("/")[2] for slug in DATA_SETS]


def _archive(folder: Path) -> bytes:
    """A ZIP as Kaggle makes it, with a filler that spreads it over several of the client's pieces."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
        archive.writestr("filler.bin", np.random.default_rng(1).bytes(3 * CHUNK_BYTES))
    return stream.getvalue()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sets")
    write_classification_set(folder / NAMES[0], 4, 1)
    write_detection_set(folder / NAMES[1], 2, 2)
    return {name: _archive(folder / name) for name in NAMES}


@dataclass
class StandIn:
    """What the stand-in answers with, and what it was asked."""

    port: int
    archives: dict[str, bytes]
    introspect: tuple[int, dict[str, object]] = (200, {"active": True, "username": "someone"})
    download_status: int = 200
    cut_after_bytes: int | None = None
    stall: bool = False
    cuts_left: int = 1
    ranges: list[str | None] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    cut: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def kaggle(archives: dict[str, bytes]) -> Iterator[StandIn]:
    """Speaks HTTP as a proxy does: the client believes that it talks to http://localhost, its own place for tests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "http://localhost/api/v1/security.OAuthService/IntrospectToken":
                self._json(*state.introspect)
            elif self.path == "http://localhost/api/v1/datasets.DatasetApiService/DownloadDataset":
                state.tokens.add(self.headers["Authorization"])
                if state.download_status == 200:
                    self.send_response(302)
                    self.send_header("Location", f"http://localhost/storage/{asked['datasetSlug']}.zip?signature=1")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self._json(state.download_status, {"code": state.download_status, "message": "no"})
            else:
                self._json(404, {"code": 404, "message": f"the stand-in does not know {self.path}"})

        def do_GET(self) -> None:
            body = state.archives[self.path.rpartition("/")[2].partition(".zip")[0]]
            tag = f'"{hashlib.sha256(body).hexdigest()}"'
            asked = self.headers["Range"]
            state.ranges.append(asked)
            start = 0
            if asked and self.headers["If-Range"] in (None, tag):
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Content-Length", str(len(body) - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", "Sun, 01 Mar 2020 12:00:00 GMT")
            self.end_headers()
            if state.cut_after_bytes is not None and state.cuts_left:
                state.cuts_left -= 1
                self.wfile.write(body[start : start + state.cut_after_bytes])
                self.wfile.flush()
                state.cut.set()
                if state.stall:
                    state.released.wait(60)
                self.close_connection = True
            else:
                self.wfile.write(body[start:])

        def _json(self, status: int, answer: dict[str, object]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = StandIn(server.server_address[1], dict(archives))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield state
    state.released.set()
    server.shutdown()
    server.server_close()
    thread.join(10)
    assert not thread.is_alive()


def _start(home: Path, port: int, token: str | None = "good") -> subprocess.Popen[str]:
    """`maskwatch data fetch --to home/data` with the stand-in as its only way out."""
    kept = {key: value for key, value in os.environ.items() if not key.upper().startswith(("KAGGLE", "XDG"))}
    environment = {key: value for key, value in kept.items() if not key.lower().endswith("_proxy")}
    environment |= {"HOME": str(home), "KAGGLE_API_ENVIRONMENT": "LOCALHOST", "http_proxy": f"http://127.0.0.1:{port}"}
    if token is not None:
        environment["KAGGLE_API_TOKEN"] = token
    return subprocess.Popen(
        [sys.executable, "-m", "maskwatch.cli", "data", "fetch", "--to", str(home / "data")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _fetch(home: Path, port: int, token: str | None = "good") -> tuple[int, str, str]:
    process = _start(home, port, token)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def _last_line(err: str) -> str:
    return err.rstrip("\n").rpartition("\n")[2]


def test_fetches_and_unpacks_both_sets_and_then_needs_no_network(tmp_path: Path, kaggle: StandIn) -> None:
    code, out, err = _fetch(tmp_path, kaggle.port)
    assert (code, out.split()) == (0, [str(tmp_path / "data" / name) for name in NAMES]), err
    assert kaggle.tokens == {"Bearer good"}
    assert len(read_data(tmp_path / "data")) == 6
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == sorted(NAMES)

    assert fetch_all(tmp_path / "data") == [tmp_path / "data" / name for name in NAMES]
    assert kaggle.ranges == [None, None]


def test_without_credentials_says_where_to_get_a_token_and_what_to_type(tmp_path: Path, kaggle: StandIn) -> None:
    code, out, err = _fetch(tmp_path, kaggle.port, token=None)
    assert (code, out) == (3, "")
    assert err.count("\n") == 1
    for words in ("no Kaggle credentials", "https://www.kaggle.com/settings", "export KAGGLE_API_TOKEN=", "data fetch"):
        assert words in err


@pytest.mark.parametrize(
    ("introspect", "download_status", "code", "words"),
    [
        ((200, {"active": False}), 200, 3, "refuses the token from KAGGLE_API_TOKEN"),
        ((401, {"code": 401, "message": "no"}), 200, 3, "refuses the credentials"),
        ((503, {"code": 503, "message": "busy"}), 200, 4, "try again later"),
        (None, 403, 3, "https://www.kaggle.com/datasets/omkargurav/face-mask-dataset"),
        (None, 404, 3, "no data set omkargurav/face-mask-dataset"),
        (None, 500, 4, "try again later"),
    ],
)
def test_a_refusal_is_one_clear_line(
    tmp_path: Path,
    kaggle: StandIn,
    introspect: tuple[int, dict[str, object]] | None,
    download_status: int,
    code: int,
    words: str,
) -> None:
    kaggle.introspect = introspect or kaggle.introspect
    kaggle.download_status = download_status
    found, out, err = _fetch(tmp_path, kaggle.port)
    assert (found, out) == (code, ""), err
    assert words in _last_line(err)
    assert "Traceback" not in err


def test_no_network_means_try_again(tmp_path: Path) -> None:
    closed_port = 9
    code, out, err = _fetch(tmp_path, closed_port)
    assert (code, out) == (4, "")
    assert "Kaggle cannot be reached" in _last_line(err)


def test_a_download_cut_half_way_goes_on_by_itself(tmp_path: Path, kaggle: StandIn) -> None:
    kaggle.cut_after_bytes = 3 * CHUNK_BYTES // 2
    code, _, err = _fetch(tmp_path, kaggle.port)
    assert code == 0, err
    assert len(kaggle.ranges) == 3
    resumed = [asked for asked in kaggle.ranges if asked]
    assert len(resumed) == 1
    assert int(resumed[0].removeprefix("bytes=").rstrip("-")) >= CHUNK_BYTES
    assert len(read_data(tmp_path / "data")) == 6


def test_a_killed_download_goes_on_with_the_next_run(tmp_path: Path, kaggle: StandIn) -> None:
    kaggle.cut_after_bytes, kaggle.stall = 3 * CHUNK_BYTES // 2, True
    process = _start(tmp_path, kaggle.port)
    part = tmp_path / "data" / f".{NAMES[0]}.part" / f"{NAMES[0]}.zip"
    assert kaggle.cut.wait(60)
    deadline = time.monotonic() + 30
    while not part.is_file() or part.stat().st_size < CHUNK_BYTES:
        assert time.monotonic() < deadline, "nothing reached the disk"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    kaggle.released.set()
    assert not (tmp_path / "data" / NAMES[0]).exists()
    on_disk = part.stat().st_size

    kaggle.ranges.clear()
    code, _, err = _fetch(tmp_path, kaggle.port)
    assert code == 0, err
    assert f"bytes={on_disk}-" in kaggle.ranges
    assert len(read_data(tmp_path / "data")) == 6


def test_a_damaged_archive_is_deleted_and_a_second_run_succeeds(tmp_path: Path, kaggle: StandIn) -> None:
    whole = kaggle.archives[NAMES[1]]
    kaggle.archives[NAMES[1]] = whole[:-1000]
    code, _, err = _fetch(tmp_path, kaggle.port)
    assert code == 4
    assert "arrived damaged" in _last_line(err)
    assert (tmp_path / "data" / NAMES[0]).is_dir()  # the other set is kept
    assert not (tmp_path / "data" / NAMES[1]).exists()

    kaggle.archives[NAMES[1]] = whole
    assert _fetch(tmp_path, kaggle.port)[0] == 0
    assert kaggle.ranges == [None, None, None]


def test_an_archive_of_something_else_never_becomes_a_set(tmp_path: Path, kaggle: StandIn) -> None:
    kaggle.archives[NAMES[0]] = _archive(tmp_path / "empty")
    code, _, err = _fetch(tmp_path, kaggle.port)
    assert code == 3
    assert "no data set in" in _last_line(err)
    assert not (tmp_path / "data" / NAMES[0]).exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, kaggle: StandIn) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    code, _, err = _fetch(tmp_path, kaggle.port)
    assert code == 3
    assert "--to" in _last_line(err)


def test_a_folder_of_that_name_that_is_no_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).mkdir()
    with pytest.raises(DataError, match="no data set in"):
        fetch_all(tmp_path)


@pytest.mark.parametrize(
    "path", ["../outside.jpg", "/outside.jpg", "data/../../outside.jpg", "..\\outside.jpg", "C:/x"]
)
def test_hostile_paths_unpack_nothing(tmp_path: Path, path: str) -> None:
    archive = tmp_path / "hostile.zip"
    with zipfile.ZipFile(archive, "w") as entries:
        entries.writestr("data/with_mask/1.jpg", b"x")
        entries.writestr(path, b"x")
    with pytest.raises(DataError, match="unsafe path"):
        unpack(archive, tmp_path / "inner" / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.zip"]


def test_an_archive_that_claims_too_much_unpacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "big.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as entries:
        entries.writestr("data/with_mask/1.jpg", bytes(5000))
    monkeypatch.setattr("maskwatch_train.fetch.MAX_UNPACKED_BYTES", 4999)
    with pytest.raises(DataError, match="would unpack to more"):
        unpack(archive, tmp_path / "set")
    assert not (tmp_path / "set").exists()
