"""Help, exit codes, completion and colours of the program."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command

from command_line import run_and_exit
from fusioncam import METHODS, METRICS
from fusioncam.cli.commands import app
from fusioncam.cli.main import main
from fusioncam.zoo.loading import MODELS

PROGRAM = Path(sys.executable).with_name("fusioncam")
COLOUR = re.compile(r"\x1b\[[0-9;]*[34]\d")


def commands(command=None, name="fusioncam"):
    """Yield every command and group with its full name."""
    command = command or get_command(app)
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


COMMANDS = dict(commands())
OPTIONS = [option for command in COMMANDS.values() for option in command.params if option.opts[0].startswith("-")]
# options of several commands, repeatable or not, except those whose meaning differs between commands
SHARED = {
    key
    for key, times in Counter((one.opts[0], one.multiple) for one in OPTIONS).items()
    if times > 1 and key[0] not in ("--out", "--target") and key != ("--method", False)
}


@pytest.fixture
def program(monkeypatch, capsys):
    """Return a function that runs the program in this process and returns its exit code and output."""

    def run(*words, **environment):
        monkeypatch.setattr("sys.argv", ["fusioncam", *words])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return run


# -- help --------------------------------------------------------------------------------------------------------


def test_commands_are_found():
    """The tests below would pass for an empty list."""
    assert {"fusioncam", "fusioncam explain", "fusioncam list", "fusioncam list layers"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_exit_codes(name, program):
    """The help of every command has an example and the exit codes."""
    code, out, err = program(*name.split()[1:], "--help", COLUMNS="200", TERMINAL_WIDTH="200")

    assert (code, err) == (0, "")
    example = "fusioncam (demo|explain)" if name == "fusioncam" else name
    assert re.search(rf"^ *{example}", out, re.MULTILINE)
    assert re.search(r"Exit codes: 0 .*; 2 .*", out)
    assert "Ctrl-C" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_into_80_columns(name, program):
    """No line is longer, nothing is cut off, and no name such as fusion-cam is broken at its hyphen."""
    _, out, _ = program(*name.split()[1:], "--help", COLUMNS="80", TERMINAL_WIDTH="80")

    assert max(map(len, out.splitlines())) <= 80
    assert not re.findall(r"\w(?:\.\.\.|-)$", out, re.MULTILINE)
    assert out.isascii()


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_the_help_are_valid(name):
    """Each example in the help can be parsed."""
    text = re.sub(r" \\\n\s*", " ", COMMANDS[name].help)
    lines = re.findall(r"^ *fusioncam (.*)$", text, re.MULTILINE)

    assert lines
    for line in lines:
        parse(line)


def parse(line):
    """Parse a command line without running it."""
    words, command = shlex.split(line), get_command(app)
    context = None
    while getattr(command, "commands", None):
        context = command.make_context("fusioncam", [], parent=context, resilient_parsing=True)
        command = command.commands[words.pop(0)]
    if "--help" not in words:
        command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize(("option", "multiple"), sorted(SHARED))
def test_shared_options_have_one_help_text(option, multiple):
    """An option has the same help text in every command that takes it once, or several times."""
    texts = {one.help for one in OPTIONS if option in one.opts and one.multiple == multiple}

    assert len(texts) == 1


# -- exit codes and names ----------------------------------------------------------------------------------------


def test_unknown_words_end_with_2(program):
    """Unknown commands, options and values are errors."""
    for words in (["explian"], ["explain", "--modle", "x"], ["doctor", "--seconds", "0"], ["list", "layers", "x"]):
        code, out, err = program(*words)
        assert (code, out) == (2, ""), words
        assert "Error" in err


def test_version_is_that_of_the_package(program):
    """--version prints the version and nothing else."""
    assert program("--version") == (0, f"{version('fusioncam')}\n", "")


@pytest.mark.slow
def test_python_m_runs_the_program():
    """`python -m fusioncam` works if the program is not on the path."""
    ended = subprocess.run([sys.executable, "-m", "fusioncam", "--version"], capture_output=True, text=True)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{version('fusioncam')}\n", "")


# -- completion --------------------------------------------------------------------------------------------------


def completed(program, line):
    """Return the completions of the last word of a line, requested as bash does."""
    words = {"_FUSIONCAM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    _, out, err = program(**words)
    assert err == ""
    return out.split()


def test_commands_are_completed(program):
    """The names of commands are completed."""
    assert completed(program, "fusioncam expl") == ["explain"]
    assert completed(program, "fusioncam list l") == ["layers"]


@pytest.mark.parametrize("command", ["explain", "demo", "benchmark"])
def test_methods_are_completed(program, command):
    """All methods are offered, or those that start with what is typed."""
    assert set(completed(program, f"fusioncam {command} -m ")) == set(METHODS)
    assert completed(program, f"fusioncam {command} --method layer") == ["layer-cam"]


def test_metrics_are_completed(program):
    """All metrics are offered."""
    assert set(completed(program, "fusioncam benchmark --metric ")) == set(METRICS)


@pytest.mark.parametrize("command", ["explain", "benchmark", "doctor", "list layers"])
def test_models_are_completed(program, command):
    """Included models and other sources are offered, and after a source its models."""
    assert set(completed(program, f"fusioncam {command} --model ")) == {*MODELS, "timm:", "torchvision:"}
    assert "timm:resnet50" in " ".join(completed(program, f"fusioncam {command} --model timm:resnet50"))
    assert completed(program, f"fusioncam {command} --model torchvision:vgg16_") == ["torchvision:vgg16_bn"]


def test_devices_and_precisions_are_completed(program):
    """Devices and precisions are offered."""
    assert completed(program, "fusioncam explain --device c") == ["cpu", "cuda"]
    assert completed(program, "fusioncam doctor --precision b") == ["bfloat16"]


@pytest.mark.slow
def test_installed_bash_codecompletes_in_bash(tmp_path):
    """The script that --install-completion installs works in a real bash."""
    script = subprocess.run(
        [PROGRAM], env={**os.environ, "_FUSIONCAM_COMPLETE": "source_bash"}, capture_output=True, text=True
    ).stdout
    (tmp_path / "script").write_text(script)
    bash_code = (
        f'source "{tmp_path / "script"}"; COMP_WORDS=(fusioncam explain -m fusi); COMP_CWORD=3; '
        '_fusioncam_completion fusioncam; printf "%s\\n" "${COMPREPLY[@]}"; complete -p fusioncam'
    )
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", bash_code], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )

    *names, registered = ended.stdout.splitlines()
    assert names == [name for name in METHODS if name.startswith("fusi")]
    assert registered.endswith("-F _fusioncam_completion fusioncam")
    assert "-o default" in registered  # file names, if no completion matches


# -- colours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("list", "models"), ("list", "methods"), ("list", "metrics"), ("--help",)])
def test_piped_output_has_no_colours(program, words, monkeypatch):
    """Output into a pipe has no colours, whatever TERM says."""
    for name in ("FORCE_COLOR", "NO_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    _, out, err = program(*words, TERM="xterm-256color")

    assert "\x1b" not in out + err


def on_a_terminal(words, **environment):
    """Run the program in a copy of this process, on a pseudo terminal, and return its output."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    pid, keeper = pty.fork()
    if pid == 0:
        os.environ.clear()
        os.environ.update(kept, TERM="xterm-256color", **environment)
        run_and_exit(*words)
    shown = b""
    try:
        while part := os.read(keeper, 4096):
            shown += part
    except OSError:  # Linux raises this when the other end is closed
        pass
    os.close(keeper)
    assert os.waitpid(pid, 0)[1] == 0
    return shown.decode()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of forks in programs with threads
def test_terminal_has_colours_unless_no_color_is_set():
    """NO_COLOR turns colours off, see https://no-color.org."""
    doctor = ["doctor", "--model", "samples:small", "--seconds", "0.1"]  # it shows a spinner while it measures
    assert COLOUR.search(on_a_terminal(doctor))
    assert not COLOUR.search(on_a_terminal(doctor, NO_COLOR="1"))


@pytest.mark.slow
def test_closed_pipe_is_not_an_error():
    """`fusioncam list methods | head -1` prints a line and no traceback."""
    command = f'"{PROGRAM}" list methods | head -1'
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)

    assert len(ended.stdout.splitlines()) == 1
    assert "Traceback" not in ended.stderr
