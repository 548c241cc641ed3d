"""The pages quote the program as it is: its messages, and the options of its commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

import fusioncam as fc
from fusioncam.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text()
SAID = re.findall(r"^\| \*(.+?)\* \|", TROUBLES, re.MULTILINE)
MESSAGES = re.findall(
    r"^\| `(.+?)` \| several| a warning `(.+?)`|^\| `(the network .+?)`|^\| `(no layer .+?)`", TROUBLES, re.M
)
# a command, up to a comment or the end of its code
COMMANDS = re.compile(r"(?:^|`)fusioncam (\w[^`#\n]*)", re.MULTILINE)


def words_of_the_program() -> str:
    """Return the source code, in lower case, with strings of several lines joined."""
    text = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    return re.sub(r'"\s*\n\s*f?"', "", text).lower()


@pytest.fixture(scope="module")
def source():
    """The source code, read once."""
    return words_of_the_program()


def parts(message: str) -> list[str]:
    """Return a message in parts between names and numbers, which it formats."""
    return [part.strip().lower() for part in re.split(r"'.*?'|\d[\d x%]*\d%?|\d%?", message) if part.strip(" .")]


def test_messages_are_found():
    """An empty list would pass the next test."""
    assert len(SAID) >= 10
    assert len(MESSAGES) >= 4


@pytest.mark.parametrize("message", [*SAID, *("".join(one) for one in MESSAGES)])
def test_quoted_messages_are_those_of_the_program(message, source):
    """A message that changes must change on the page too."""
    assert all(part.strip(".") in source for part in parts(message))


def commands_of(path: Path) -> list[list[str]]:
    """Return the words of each command of `fusioncam` on a page."""
    return [found.split() for found in COMMANDS.findall(path.read_text().replace("\\\n", " "))]


def known_options(words: list[str]) -> set[str]:
    """Return the options of the command that the words begin with."""
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        words = words[1:]
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}


def test_commands_are_found():
    """An empty list would pass the next test."""
    assert sum(len(commands_of(path)) for path in PAGES) > 60


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_options_on_the_pages_exist(path):
    """Those of each command in the text."""
    for words in commands_of(path):
        given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known_options(words), words


def test_methods_on_the_pages_exist():
    """Those after `-m` in the troubles."""
    named = re.findall(r'(?<!python )-m "?([a-z][^"\s`]*)', TROUBLES)

    assert len(named) > 10
    assert {name.split("(")[0] for name in named} <= set(fc.METHODS)
