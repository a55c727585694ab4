"""What the packages share: settings files, whole files, command lines."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from semforge.errors import InputError
from semforge.files import existing_file, whole_file, write_text
from semforge.settings import Settings, load_settings, parse_settings


class Inner(Settings):
    steps: int = Field(10, ge=1)
    name: str = "a"


class Outer(Settings):
    training: Inner = Inner()
    items: tuple[Inner, ...] = ()
    rate: float


def test_overrides_reach_into_mappings_and_lists():
    text = "rate: 1\nitems: [{steps: 3}, {steps: 4}]"
    settings = parse_settings(text, Outer, "s", ["training.steps=7", "items.1.name=b", "rate=2.5"])
    assert (settings.training.steps, settings.items[1].name, settings.rate) == (7, "b", 2.5)


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("rate: 1\ntrainin: {}", [], ["trainin", "did you mean 'training'"]),
        ("rate: 1\ntraining: {step: 3}", [], ["training.step", "did you mean 'steps'"]),
        ("rate: 1\nzzzz: 1", [], ["zzzz", "known keys: items, rate, training"]),
        ("rate: 1\ntraining: {steps: 0}", [], ["training.steps", "greater than or equal to 1", "found 0"]),
        ("training: {}", [], ["rate", "missing"]),
        ("rate: fast", [], ["rate", "number", "fast"]),
        ("rate: 1", ["training.stps=3"], ["training.stps", "did you mean 'steps'"]),
        ("rate: 1", ["rate"], ["key=value"]),
        ("rate: 1", ["rate.x=3"], ["single value"]),
        ("rate: 1\nitems: []", ["items.0.name=b"], ["not a position"]),
        ("rate: [1", [], ["line", "YAML"]),
        ("", [], ["empty file"]),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(text, overrides, words):
    with pytest.raises(InputError) as caught:
        parse_settings(text, Outer, "my.yaml", overrides)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=5), max_size=4))
def test_no_mapping_gives_anything_but_settings_or_an_input_error(values):
    import yaml

    try:
        parse_settings(yaml.safe_dump(values), Outer, "s")
    except InputError as error:
        assert "\n" not in str(error)


def test_settings_are_frozen():
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="frozen"):
        Outer(rate=1).rate = 2


def test_binary_file_is_no_yaml(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_settings(tmp_path / "x.yaml", Outer)


def test_a_whole_file_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with pytest.raises(RuntimeError), whole_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    write_text(target, "first")
    with pytest.raises(RuntimeError), whole_file(target) as temporary:
        temporary.write_text("second")
        raise RuntimeError
    assert target.read_text() == "first"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_existing_file_names_what_it_looked_for(tmp_path):
    with pytest.raises(InputError, match="no such file, expected a map"):
        existing_file(tmp_path / "no", "a map")
    with pytest.raises(InputError, match="is a folder"):
        existing_file(tmp_path, "a map")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["blender_gen"], 0, "Usage"),
        (["blender_gen", "preview", "--help"], 0, "Example"),
        (["blender_gen", "check", "--help"], 0, "Example"),
        (["blender_gen", "prevew"], 2, "preview"),
        (["blender_gen", "preview"], 2, "Missing argument"),
        (["blender_gen", "preview", "no.yaml"], 2, "no such file"),
        (["blender_gen", "preview", "configs/recipes/ebc.yaml", "--index", "-1"], 2, "--index"),
        (["blender_gen", "preview", "configs/recipes/ebc.yaml", "--out", "x.gif"], 2, "kind of picture"),
        (["render_farm"], 0, "Usage"),
        (["sem_train"], 0, "Usage"),
        (["sem_train", "fitt"], 2, "fit"),
    ],
)
def test_command_lines(arguments, code, words):
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)
    assert done.returncode == code
    output = done.stdout if code == 0 else done.stderr
    assert words in output
    assert "Traceback" not in done.stderr
    if code:
        assert len(done.stderr.strip().splitlines()) == 1


INTERRUPTED = """
import os, signal, sys
from semforge import cli
app = cli.application("A test.")

@app.command()
def first():
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()

@app.command()
def second():
    from semforge.errors import Interrupted
    raise Interrupted("stopped; 3 of 4 are done")

signal.signal(signal.SIGINT, signal.default_int_handler)
cli.run(app, "tester")
"""


@pytest.mark.parametrize(
    ("command", "words"), [("first", "interrupted; what is on disk is kept"), ("second", "stopped; 3 of 4 are done")]
)
def test_an_interrupted_command_says_so_in_one_line(command, words):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"tester: {words}\n")
