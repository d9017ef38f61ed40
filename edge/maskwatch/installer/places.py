"""Where things lie on a Pi, and what they are called. The unit names VENV."""

from __future__ import annotations

HOME = "/opt/maskwatch"
VENVS = f"{HOME}/venvs"
VENV = f"{HOME}/venv"
"""A link to one of VENVS: to change it is to change the version, at once or not at all."""

COMMAND = "/usr/local/bin/maskwatch"
PROGRAM = f"{VENV}/bin/maskwatch"

SERVICE = "maskwatch.service"
UNITS = "/etc/systemd/system"
UNIT = f"{UNITS}/{SERVICE}"
DROP_INS = f"{UNITS}/{SERVICE}.d"
DROP_IN = f"{DROP_INS}/growing-pause.conf"
ENABLED = f"{UNITS}/multi-user.target.wants/{SERVICE}"

SYSUSERS = "/etc/sysusers.d/maskwatch.conf"
TMPFILES = "/etc/tmpfiles.d/maskwatch.conf"
USER = "maskwatch"
GROUPS = ("video", "gpio")
FLASH_USER = "maskwatch-flash"
FLASH_HOME = f"/var/lib/{FLASH_USER}"
"""Root's own: a login that may flash must not write itself other keys."""

SETTINGS = "/etc/maskwatch"
CONFIG = f"{SETTINGS}/config.toml"
STATE = "/var/lib/maskwatch"
SLOTS = f"{STATE}/slots"
RUNTIME = "/run/maskwatch"
