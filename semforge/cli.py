"""The one way all command lines start, fail and stop."""

import logging
import sys

import typer
from rich.console import Console

from semforge.errors import InputError, SemforgeError

console = Console()
errors = Console(stderr=True, soft_wrap=True, highlight=False)

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def application(help_text: str) -> typer.Typer:
    """A Typer application with semforge's conventions."""
    return typer.Typer(help=help_text, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                       rich_markup_mode="rich")  # fmt: skip


def run(app: typer.Typer, program: str) -> None:
    """Run `app`; bad input ends with one line on stderr and exit 2, Ctrl-C with 130."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app(prog_name=program)
    except InputError as error:
        errors.print(f"{program}: {error}", markup=False)
        sys.exit(EXIT_BAD_INPUT)
    except SemforgeError as error:
        errors.print(f"{program}: {error}", markup=False)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        errors.print(f"{program}: interrupted; what is on disk is kept", markup=False)
        sys.exit(EXIT_INTERRUPTED)
