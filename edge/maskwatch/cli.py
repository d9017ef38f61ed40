"""`maskwatch VERB`: finds the verbs, runs one, and turns every fault into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from maskwatch.errors import ExitCode, MaskwatchError, OperatorError
from maskwatch.verbs.plain import print_fault

VERBS = {
    "classify": "maskwatch.verbs.classify",
    "detect": "maskwatch.verbs.detect",
    "run": "maskwatch.verbs.run",
    "status": "maskwatch.verbs.status",
    "lights": "maskwatch.verbs.lights",
    "preview": "maskwatch.verbs.preview",
    "doctor": "maskwatch.verbs.doctor",
    "install": "maskwatch.verbs.install",
    "uninstall": "maskwatch.verbs.uninstall",
    "bundle": "maskwatch.verbs.bundle",
    "flash": "maskwatch.verbs.flash",
    "receive": "maskwatch.verbs.receive",
    "slots": "maskwatch.verbs.slots",
    "keys": "maskwatch.verbs.keys",
    "bench": "maskwatch.verbs.bench",
    "data": "maskwatch_train.verbs.data",
    "train": "maskwatch_train.verbs.train",
    "evaluate": "maskwatch_train.verbs.evaluate",
    "tune": "maskwatch_convert.verbs.tune",
    "convert": "maskwatch_convert.verbs.convert",
}
"""Each verb's module: HELP, EXAMPLE, add_arguments(parser), run(args). Named, not imported: the edge never pulls in
training, and a verb's module is loaded only when that verb, or the list of all, is asked for."""

PACKAGES = ("maskwatch", "maskwatch_train", "maskwatch_convert")

EXTRAS = {"maskwatch_train": "[train]", "maskwatch_convert": "[train]"}
"""Which extra installs what a package of ours needs; the edge needs none."""

INTERRUPTED = 130
"""128 + SIGINT, as shells expect of a command that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code. Help, version and wrong usage raise SystemExit, as argparse does."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="maskwatch: %(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        try:
            return _run(words)
        finally:
            if sys.stdout is not None:  # None where the caller closed it
                sys.stdout.flush()  # a reader that went away is noticed here, not while Python exits
    except MaskwatchError as error:
        print_fault(error)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away: `maskwatch detect … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except KeyboardInterrupt:
        print_fault("interrupted")
        return INTERRUPTED
    except Exception as error:  # the last line of defence: no traceback reaches a user
        kind = type(error).__name__
        print_fault(f"internal error ({kind}: {error}); please report it; MASKWATCH_DEBUG=1 shows where")
        if os.environ.get("MASKWATCH_DEBUG"):
            raise
        return ExitCode.BUG


def _run(words: Sequence[str]) -> ExitCode:
    chosen = next((word for word in words if not word.startswith("-")), None)
    try:
        options = _parser([chosen] if chosen in VERBS else list(VERBS)).parse_args(words)
        if options.verbose:
            logging.getLogger().setLevel(logging.INFO)
        code: ExitCode = options.run(options)
    except ModuleNotFoundError as error:
        if chosen not in VERBS or (error.name or "").partition(".")[0] in PACKAGES:
            raise  # a package of ours without one of its modules is a bug
        extra = EXTRAS.get(VERBS[chosen].partition(".")[0], "")
        raise OperatorError(
            f"`{chosen}` needs {error.name}, which is not installed: pip install 'maskwatch{extra}'"
        ) from error
    return code


def _parser(verbs: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskwatch",
        description="A face-mask detector for doors. Each verb has its own --help with an example.",
        epilog="exit codes: 0 done, 1 a finding, 2 usage, 3 you can fix it, 4 try again later, 70 a bug",
    )
    parser.add_argument("--version", action="version", version=f"maskwatch {_version()}")
    parser.add_argument("-v", "--verbose", action="store_true", help="also say what goes well")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_VerbParser)
    for verb in verbs:
        module = importlib.import_module(VERBS[verb])
        subparser = subparsers.add_parser(
            verb,
            help=module.HELP,
            description=module.HELP,
            epilog=f"example:\n{module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        subparser.intermixed = getattr(module, "INTERMIXED", False)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


class _VerbParser(argparse.ArgumentParser):
    """One verb's part of the line. `intermixed`: options may stand between its words, as in most commands."""

    intermixed = False

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        if not self.intermixed or "--" in (args or ()):  # which argparse loses when it mixes
            return super().parse_known_args(args, namespace)
        self.intermixed = False  # what is called next calls this again, for options and words each
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.intermixed = True


def _version() -> str:
    try:
        return version("maskwatch")
    except PackageNotFoundError:
        return "(from a clone)"  # the installer runs before anything is installed


if __name__ == "__main__":
    sys.exit(main())
