"""Odd values of every option of every command end with a message and an exit code, never with a traceback."""

from __future__ import annotations

import inspect
from typing import get_args, get_type_hints

import pytest
from typer.main import get_command

from command_line import FAST
from fusioncam.benchmark.throughput import examine
from fusioncam.cli.arguments import PATHS
from fusioncam.cli.commands import UsageError, app
from fusioncam.distributed.ray_pool import Request
from fusioncam.distributed.workers import LocalWorkers
from fusioncam.errors import ClusterError, FusionCamError, SettingError, require_count

SMALL_MODEL = ("--model", "samples:small")
# words with which each command works, to which one option is added
WORDS = {
    "explain": ("photos", *FAST, "-q"),
    "explain --bulk": ("photos", *FAST, "-q"),
    "explain --ray": ("photos", *FAST, "-q"),
    "demo": ("-m", "grad-cam", "-q", "--no-report"),
    "benchmark": ("photos", *FAST, "--metric", "increase", "-q", "--no-report"),
    "audit": ("photos", *FAST, "-q", "--no-report"),
    "report": ("fusioncam-out",),
    "export": ("fusioncam-out", "--format", "coco"),
    "export-model": ("model.onnx", *SMALL_MODEL),
    "app": SMALL_MODEL,
    "doctor": (*SMALL_MODEL, "--seconds", "0.1"),
    "list layers": SMALL_MODEL,
    "list methods": ("grad-cam",),
    "list metrics": ("insertion",),
}
NUMBERS = ("inf", "-inf", "nan", "1e400", "-1", "0", "9" * 40, "-" + "9" * 40, "0x10", "\N{FULLWIDTH DIGIT FIVE}")
TEXTS = ("", " ", "-", "~", "../..", "x" * 5000, "\udcff", "\x1b[2J", "\N{DUCK}", "{}", "a=b", "(", "%s")
# texts for options that are numbers
REFUSED = ("", "x" * 5000, "\udcff", "\x1b[2J")
# numbers for options that are texts
AS_TEXTS = ("-1", "0", "9" * 40, "nan")


def commands(command=None, name=""):
    """Yield each command that does something, with its name."""
    command = command or get_command(app)
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}".strip())
    if not getattr(command, "commands", None):
        yield name, command


COMMANDS = dict(commands())
# all options that take a value, and the arguments that take one
TAKERS = [
    (name, param)
    for name in WORDS
    for param in COMMANDS[name.split(" --")[0]].params
    if not getattr(param, "is_flag", False) and param.nargs != -1
]


def odd_values(name, param):
    """Return the values to try; a parser of numbers refuses all texts for the same reason."""
    kind = get_type_hints(inspect.unwrap(COMMANDS[name.split(" --")[0]].callback))[param.name]
    return NUMBERS + REFUSED if {int, float} & {kind, *get_args(kind)} else TEXTS + AS_TEXTS


def line(name, param, value):
    """Return a command line with one odd value."""
    words = WORDS[name]
    if not param.opts[0].startswith("-"):
        return [*name.split(), *words[1:], "--", value]
    return [*name.split(), *words, f"{param.opts[0]}={value}"]


def test_every_command_is_tried():
    """A new command needs its words above; lists without options take no value."""
    tried = {name.split(" --")[0] for name, _ in TAKERS}
    assert tried == {name for name, command in COMMANDS.items() if any(not one.is_eager for one in command.params)}
    assert len(TAKERS) > 80


def test_nul_bytes_and_empty_paths_are_refused(program):
    """An empty path would be the current folder, and NUL is in no file name."""
    for name, param in TAKERS:
        for value, reason in [("a\0b", "NUL byte"), *[("", "is empty")] * (param.name in PATHS)]:
            words = line(name, param, value)[len(name.split(" --")[0].split()) :]
            # depending on its version, typer refuses the byte before we do
            with pytest.raises(UsageError, match=f"{reason}|unexpected extra argument"):
                COMMANDS[name.split(" --")[0]].make_context(name, words)
    code, out, err = program("explain", "photos", "--out", "")
    assert (code, out) == (2, "")
    assert err.endswith(
        "Error: Invalid value for '--out' / '-o': it is empty: leave it out, or write . for the current folder\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_odd_values_end_with_a_message(name, program, monkeypatch, tmp_path):
    """Every exit code is one of the documented ones, and 1 and 2 come with a reason."""

    def no_cluster(*_):
        raise ClusterError("there is no cluster in this test")

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fusioncam.cli.ray_options.ray_pool", no_cluster)
    monkeypatch.setattr("fusioncam.cli.app.wait", stopped)
    for command, param in TAKERS:
        for value in odd_values(name, param) if command == name else ():
            code, _, err = program(*line(name, param, value))
            assert code in (0, 1, 2), (param.opts, value, err)
            assert (code == 0) or err.strip(), (param.opts, value)
            assert "\x1b" not in err, (param.opts, value)


@pytest.mark.parametrize("value", [2**31, 10**40, 0, -(10**40), True, 1.0, float("nan"), None, "3"])
def test_counts_have_bounds(value):
    """Counts that no machine can hold are refused in Python too."""
    with pytest.raises(SettingError, match="must be"):
        require_count("count", value)
    with pytest.raises(SettingError, match="batch_size must be"):
        LocalWorkers(value)


@pytest.mark.parametrize("name", ["gpus", "patience"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0, 1e300])
def test_requests_for_workers_have_bounds(name, value):
    """Infinity is neither a number of GPUs nor a time to wait."""
    with pytest.raises(ClusterError, match=f"{name} must be"):
        Request(**{name: value})


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0.0, -1.0, 1e300])
def test_duration_of_a_measurement_has_bounds(seconds):
    """``doctor`` does not measure for ever."""
    with pytest.raises(FusionCamError, match="seconds must be"):
        examine(None, seconds)
