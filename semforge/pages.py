"""HTML pages that are complete in themselves: one way to render them, one look.

A template includes `page.css.j2` in its style element, then says what is its own.
"""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page_environment(package: str) -> Environment:
    """Templates of `package` and the shared parts; text is escaped, a name that nobody gave is an error."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("semforge")]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
