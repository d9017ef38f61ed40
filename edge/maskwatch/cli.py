"""`maskwatch VERB`: finds the verbs, runs one, and turns every fault into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from maskwatch.errors import ExitCode, MaskwatchError, OperatorError

VERBS = {
    "classify": "maskwatch.verbs.classify",
    "detect": "maskwatch.verbs.detect",
    "run": "maskwatch.verbs.run",
    "bundle": "maskwatch.verbs.bundle",
    "bench": "maskwatch.verbs.bench",
    "config": "maskwatch.verbs.config",
    "data": "maskwatch_train.verbs.data",
    "train": "maskwatch_train.verbs.train",
    "evaluate": "maskwatch_train.verbs.evaluate",
    "convert": "maskwatch_convert.verbs.convert",
}
"""Each verb's module: HELP, EXAMPLE, add_arguments(parser), run(args). Named, not imported: the edge never pulls in
training, and a verb's module is loaded only when that verb, or the list of all, is asked for."""

EXTRAS = {"maskwatch_train": "train", "maskwatch_convert": "train"}
"""Which extra installs what a package of ours needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="maskwatch: %(message)s", level=logging.WARNING, stream=sys.stderr)
    chosen = next((word for word in words if not word.startswith("-")), None)
    try:
        parser = _parser([chosen] if chosen in VERBS else list(VERBS))
        options = parser.parse_args(words)
        if options.verbose:
            logging.getLogger().setLevel(logging.INFO)
        code: ExitCode = options.run(options)
    except MaskwatchError as error:
        print(f"maskwatch: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        return _missing(error, chosen)
    except BrokenPipeError:  # the reader of our output went away: `maskwatch detect … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except KeyboardInterrupt:
        print("maskwatch: interrupted", file=sys.stderr)
        return 130  # 128 + SIGINT, as shells expect
    except Exception as error:  # the last line of defence: no traceback reaches a user
        logging.getLogger(__name__).debug("unexpected error", exc_info=True)
        kind = type(error).__name__
        print(
            f"maskwatch: internal error ({kind}: {error}); please report it; MASKWATCH_DEBUG=1 shows where",
            file=sys.stderr,
        )
        if os.environ.get("MASKWATCH_DEBUG"):
            raise
        return ExitCode.BUG
    return code


def _parser(verbs: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskwatch",
        description="A face-mask detector for doors. Each verb has its own --help with an example.",
        epilog="exit codes: 0 done, 1 a finding, 2 usage, 3 you can fix it, 4 try again later, 70 a bug",
    )
    parser.add_argument("--version", action="version", version=f"maskwatch {version('maskwatch')}")
    parser.add_argument("-v", "--verbose", action="store_true", help="also say what goes well")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in verbs:
        module = importlib.import_module(VERBS[verb])
        subparser = subparsers.add_parser(
            verb,
            help=module.HELP,
            description=module.HELP,
            epilog=f"example:\n{module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def _missing(error: ModuleNotFoundError, verb: str | None) -> int:
    """A package that is not installed: the extra of the verb's package brings it; elsewhere it is a bug."""
    extra = EXTRAS.get(VERBS.get(verb or "", "").partition(".")[0])
    if extra is None or (error.name or "").startswith("maskwatch"):
        raise error
    fault = OperatorError(f"`{verb}` needs {error.name}, which is not installed: pip install 'maskwatch[{extra}]'")
    print(f"maskwatch: {fault}", file=sys.stderr)
    return fault.exit_code


if __name__ == "__main__":
    sys.exit(main())
