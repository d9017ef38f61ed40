"""Downloads the two Kaggle data sets with Kaggle's own client and unpacks them."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from maskwatch.errors import DataError, MaskwatchError, TryAgainError

from maskwatch_train.index import set_folders

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi
    from requests import HTTPError

logger = logging.getLogger(__name__)

DATA_SETS: Final = ("omkargurav/face-mask-dataset", "andrewmvd/face-mask-detection")
"""`OWNER/NAME` on Kaggle; each is unpacked into a folder called NAME."""

MAX_UNPACKED_BYTES: Final = 8 << 30
"""Some twelve times what either set takes: an archive that claims more is not the one expected."""

_SIGN_IN_HINT: Final = (
    "create a token at https://www.kaggle.com/settings/api (Generate New Token), type"
    " `export KAGGLE_API_TOKEN=THE_TOKEN` or save it in ~/.kaggle/access_token, then run `maskwatch data fetch` again"
)


def fetch_all(folder: Path) -> list[Path]:
    """Brings every set of DATA_SETS into `folder` and returns their folders; does nothing for those already there.

    A set's folder appears in one step when all of it is unpacked. A download that was cut goes on where it stopped.

    Raises:
        DataError: no or refused credentials, no such set, no room or no right to write, or a folder of that name that
            holds something else.
        TryAgainError: no network, Kaggle is busy, or the connection broke.
    """
    homes = {slug: folder / slug.partition("/")[2] for slug in DATA_SETS}
    missing = {slug: home for slug, home in homes.items() if not home.exists()}
    for slug, home in homes.items():
        if slug not in missing:
            set_folders(home)
            logger.info("%s is there already", home)
    if missing:
        with _translated(folder):
            folder.mkdir(parents=True, exist_ok=True)
            client = _sign_in()
        for slug, home in missing.items():
            with _translated(folder, slug):
                _fetch(client, slug, home)
    return list(homes.values())


def _sign_in() -> KaggleApi:
    """A client with credentials; DataError where there are none, or none that Kaggle takes."""
    try:
        # Importing any part of the package signs in too. Where that fails, the client prints a page of help, for which
        # stdout is the wrong place, and ends the process.
        with contextlib.redirect_stdout(None):
            from kaggle.api.kaggle_api_extended import KaggleApi
            from kagglesdk import get_access_token_from_env  # type: ignore[import-untyped]  # ships no types

            client = KaggleApi()
            client.authenticate()
    except SystemExit as error:
        _, origin = get_access_token_from_env()
        problem = f"Kaggle refuses the token from {origin}" if origin else "no Kaggle credentials found"
        raise DataError(f"{problem}: {_SIGN_IN_HINT}") from error
    return client


def _fetch(client: KaggleApi, slug: str, home: Path) -> None:
    """Downloads, unpacks and checks one set in a working folder beside `home`, then renames the result to `home`."""
    work = home.with_name(f".{home.name}.part")
    archive = work / f"{home.name}.zip"
    unpacked = work / home.name
    work.mkdir(exist_ok=True)
    try:
        # The client speaks on stdout, which is for data.
        with contextlib.redirect_stdout(sys.stderr):
            client.dataset_download_files(slug, path=str(work), quiet=False)
    except ValueError as error:  # the client's word for a file shorter than announced
        if isinstance(error, OSError):  # requests' errors of malformed answers are both
            raise
        raise TryAgainError(f"the download of {slug} was cut short: run the command again to go on") from error
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        unpack(archive, unpacked)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise TryAgainError(f"the archive of {slug} arrived damaged and is deleted: run the command again") from error
    set_folders(unpacked)
    unpacked.rename(home)
    shutil.rmtree(work)
    logger.info("%s is complete", home)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a ZIP file into a new folder, with its layout, showing progress.

    Raises:
        DataError: an entry that would land outside the folder, or a total beyond MAX_UNPACKED_BYTES.
        zipfile.BadZipFile: not a ZIP file, or a damaged one.
    """
    from tqdm import tqdm

    with zipfile.ZipFile(archive) as entries:
        listed = entries.infolist()
        for entry in listed:
            path = PurePosixPath(entry.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
                raise DataError(f"{archive} holds the unsafe path {entry.filename!r} and is not unpacked: delete it")
        if sum(entry.file_size for entry in listed) > MAX_UNPACKED_BYTES:
            raise DataError(f"{archive} would unpack to more than {MAX_UNPACKED_BYTES >> 30} GiB: delete it")
        folder.mkdir()
        for entry in tqdm(listed, f"unpacking {archive.stem}", unit="file", disable=None):
            entries.extract(entry, folder)


@contextlib.contextmanager
def _translated(folder: Path, slug: str = "") -> Iterator[None]:
    """Turns the errors of Kaggle's client, of the network and of the disk into ours."""
    import requests

    try:
        yield
    except MaskwatchError:
        raise
    except requests.HTTPError as error:
        raise _explained(error, slug) from error
    except requests.RequestException as error:
        raise TryAgainError(
            f"Kaggle cannot be reached ({type(error).__name__}): check the network and run the command again;"
            " what has arrived is kept"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DataError(f"no room left in {folder}: free 3 GB there or choose another place with --to") from error
        raise DataError(f"{folder} cannot be written ({error}): choose another place with --to") from error


def _explained(error: HTTPError, slug: str) -> MaskwatchError:
    """What an HTTP status of Kaggle's means for the reader; `slug` is empty while signing in."""
    status = error.response.status_code if error.response is not None else None
    page = f"https://www.kaggle.com/datasets/{slug}"
    if status == 401 or (status == 403 and not slug):
        return DataError(f"Kaggle refuses the credentials: {_SIGN_IN_HINT}")
    if status == 403:
        return DataError(f"Kaggle does not give this account {slug}: accept the terms on {page}, or {_SIGN_IN_HINT}")
    if status == 404:
        return DataError(f"Kaggle has no data set {slug} now: look at {page}, or unpack a copy of it by hand")
    return TryAgainError(f"Kaggle answers with an error ({error}): try again later")
