"""Root becomes the service's user before it touches what others may write to: a link there must not lead it astray."""

from __future__ import annotations

import os
import pwd

from maskwatch.errors import OperatorError
from maskwatch.installer.places import COMMAND, USER


def become_service_user() -> None:
    """Go on as the service's user, for good; nothing to do for who is not root, and where there is no such user.

    Raises OperatorError where that user cannot read this very program.
    """
    if os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return
    os.initgroups(USER, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    try:
        with open(__file__, "rb"):
            pass
    except PermissionError as error:
        raise OperatorError(
            f"the user {USER} cannot read this copy of Maskwatch, {os.path.dirname(__file__)}: run {COMMAND}"
        ) from error
