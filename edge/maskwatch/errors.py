"""One tree of errors, split by what the reader must do; each class carries the exit code. Imports nothing of ours."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to its caller; the numbers are a contract of the command line."""

    DONE = 0
    FINDING = 1
    USAGE = 2
    OPERATOR = 3
    TRY_AGAIN = 4
    BUG = 70


class MaskwatchError(Exception):
    """Base of all errors raised on purpose. The message is one line: what is wrong, and what to do."""

    exit_code: ExitCode = ExitCode.BUG


class OperatorError(MaskwatchError, ValueError):
    """The operator can fix it: a file, a setting, a wire, a missing package."""

    exit_code = ExitCode.OPERATOR


class TryAgainError(MaskwatchError, OSError):
    """It may work later, with nothing changed: a camera that is away, a network that is down."""

    exit_code = ExitCode.TRY_AGAIN


class FindingError(MaskwatchError):
    """The command did its work and found fault: a failed gate, an unhealthy part."""

    exit_code = ExitCode.FINDING


class ConfigError(OperatorError):
    """A configuration file that cannot be used; the message names the key."""


class ImageError(OperatorError):
    """A picture or video that cannot be read."""


class NotRunningError(TryAgainError):
    """No Maskwatch runs where one was asked."""


class CameraError(TryAgainError):
    """A camera that is missing, lost or silent."""


class IndicatorError(OperatorError):
    """Lights or buzzer that cannot be driven: pins taken, library missing."""


class BundleError(OperatorError):
    """A model bundle that cannot be trusted or used."""


class RuntimeRefusedError(BundleError):
    """A network that the TFLite runtime does not load or run here, for what reason ever."""


class SignatureError(BundleError):
    """A bundle that nobody signed whom this machine trusts."""


class RuntimeMissingError(OperatorError):
    """No TFLite runtime, or one whose results are not bit-exact."""


class DataError(OperatorError):
    """A data set that is missing, incomplete or laid out in another way."""
