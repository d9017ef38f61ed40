"""Root becomes the service's user before it touches what others may write to: a link there must not lead it astray."""

from __future__ import annotations

import importlib.util
import os
import pwd
import sys

from maskwatch.errors import OperatorError
from maskwatch.installer.places import COMMAND, USER


def become_service_user() -> None:
    """Go on as the service's user, for good; nothing to do for who is not root, and where there is no such user.

    Raises OperatorError where that user cannot read this very program, or where root may not become another.
    """
    if os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return
    program = _program()
    try:
        os.initgroups(USER, user.pw_gid)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except OSError as error:
        raise OperatorError(f"root may not become {USER} here: {error.strerror}") from error
    for path in program:
        if not os.access(path, os.R_OK):
            raise OperatorError(f"the user {USER} cannot read {path}, of this copy of Maskwatch: run {COMMAND}")


def _program() -> list[str]:
    """Where the code lies that is still to be loaded: ours, Python's, and other packages'."""
    "".encode("unicode_escape")  # loaded when first used: whoever tells of the fault needs it
    numpy = importlib.util.find_spec("numpy")
    return [path for path in (__file__, os.__file__, sys.executable, numpy and numpy.origin) if path]
