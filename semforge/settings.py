"""YAML settings files, validated once into frozen pydantic models.

A model that describes a settings file derives from `Settings`: unknown keys are refused
with the nearest known one, values are immutable after loading.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from semforge.errors import InputError
from semforge.files import existing_file


class Settings(BaseModel):
    """Base of everything a user writes in YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


S = TypeVar("S", bound=Settings)


def load_settings(path: Path, model: type[S], overrides: Iterable[str] = ()) -> S:
    """Read a YAML file into `model`, after `key.sub=value` overrides.

    Raises InputError with one line that names the file, the key and the nearest known key.
    """
    path = existing_file(path, "a YAML file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text, expected a YAML file") from error
    return parse_settings(text, model, str(path), overrides)


def parse_settings(text: str, model: type[S], source: str, overrides: Iterable[str] = ()) -> S:
    """As `load_settings`, from text; `source` names it in messages."""
    return validate(parse_yaml(text, source, overrides), model, source)


def parse_yaml(text: str, source: str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The mapping in a YAML text, after overrides. Raises InputError with one line if it is none."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise InputError(f"{source}:{where} is not valid YAML: {problem}") from error
    if not isinstance(values, dict):
        raise InputError(f"{source}: expected a YAML mapping of keys to values, found {_kind(values)}")
    for override in overrides:
        _apply(values, override)
    return values


def validate(values: dict[str, Any], model: type[S], source: str) -> S:
    """Validate a mapping into `model`. Raises InputError for the first problem found."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{source}: {_describe(error, model)}") from error


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"override {override!r}: expected key=value, e.g. training.steps=200")
    try:
        value = yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise InputError(f"override {override!r}: the value is not valid YAML") from error
    *parents, last = key.strip().split(".")
    target: Any = values
    for name in parents:
        target = _child(target, name, override)
    if isinstance(target, list):
        target[_position(target, last, override)] = value
    else:
        target[last] = value


def _child(target: Any, name: str, override: str) -> Any:
    if isinstance(target, list):
        return target[_position(target, name, override)]
    if target.get(name) is None:
        target[name] = {}
    child = target[name]
    if not isinstance(child, dict | list):
        raise InputError(f"override {override!r}: {name!r} holds a single value, it has no keys")
    return child


def _position(target: list[Any], name: str, override: str) -> int:
    if not name.isdigit() or int(name) >= len(target):
        raise InputError(f"override {override!r}: {name!r} is not a position in a list of {len(target)}")
    return int(name)


def _describe(error: ValidationError, model: type[Settings]) -> str:
    problems = error.errors(include_url=False)
    # A union reports every alternative; an unknown key or a failed check says more than "wrong kind".
    problem = min(problems, key=lambda p: (_RANK.get(p["type"], 1), -len(p["loc"])))
    where = _where(problem["loc"])
    if problem["type"] == "extra_forbidden":
        found = str(problem["loc"][-1])
        near = difflib.get_close_matches(found, _known_keys(model), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(sorted(model.model_fields))}"
        return f"{where}: unknown key{hint}"
    if problem["type"] == "missing":
        return f"{where}: required key is missing"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    found = "" if isinstance(problem["input"], dict | list) else f" (found {problem['input']!r})"
    return f"{where}: {message}{found}" if problem["loc"] else message  # of the file as a whole


_RANK = {"extra_forbidden": 0, "value_error": 0, "greater_than": 0, "greater_than_equal": 0,
         "less_than": 0, "less_than_equal": 0, "missing": 1,
         "model_type": 3, "dict_type": 3, "float_type": 2, "int_type": 2}  # fmt: skip


_ALTERNATIVES = ("function-", "constrained-", "literal[")  # how pydantic names those of a union that have checks


def _where(location: tuple[int | str, ...]) -> str:
    """The place in the file as a person writes it: layers[1].thickness_um."""
    if len(location) > 1 and str(location[-1]).startswith(_ALTERNATIVES):
        location = location[:-1]
    *parents, last = location or ("",)
    text = ""
    for part in [*(p for p in parents if not _is_union_tag(p)), last]:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if part.isprintable() and part else repr(part)
            text += f".{name}" if text else name
    return text


def _is_union_tag(part: int | str) -> bool:
    """Pydantic puts the alternative of a union that it tried in the location: 'function-after[...]', 'Uniform'."""
    return isinstance(part, str) and ("[" in part or part[:1].isupper())


def _known_keys(model: type[Settings]) -> list[str]:
    schema = model.model_json_schema()
    keys = set(schema.get("properties", {}))
    for definition in schema.get("$defs", {}).values():
        keys |= set(definition.get("properties", {}))
    return sorted(keys)


def _kind(value: Any) -> str:
    return "an empty file" if value is None else f"a {type(value).__name__}"
