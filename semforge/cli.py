"""The one way all command lines start, fail and stop."""

import logging
import sys

import typer
from rich.console import Console
from typer.exceptions import TyperException

from semforge.errors import InputError, Interrupted, SemforgeError

console = Console()
errors = Console(stderr=True, soft_wrap=True, highlight=False)

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def application(help_text: str) -> typer.Typer:
    """A Typer application with semforge's conventions."""
    return typer.Typer(help=help_text, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def run(app: typer.Typer, program: str) -> None:
    """Run `app`; bad input ends with one line on stderr and exit 2, Ctrl-C with 130."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name=program, standalone_mode=False)
        if code == EXIT_INTERRUPTED:  # Typer turns Ctrl-C into this and says nothing
            raise KeyboardInterrupt
    except TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see '{context.command_path} --help'" if context else ""
        code = _fail(program, f"{error.format_message().rstrip('.')}{hint}", EXIT_BAD_INPUT)
    except Interrupted as error:
        code = _fail(program, str(error), EXIT_INTERRUPTED)
    except InputError as error:
        code = _fail(program, str(error), EXIT_BAD_INPUT)
    except SemforgeError as error:
        code = _fail(program, str(error), EXIT_FAILED)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail(program, "interrupted; what is on disk is kept", EXIT_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(program: str, message: str, code: int) -> int:
    errors.print(f"{program}: {message}", markup=False)
    return code
