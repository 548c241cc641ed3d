"""What the commands import, and that what they leave out is there when it is used."""

from __future__ import annotations

import subprocess
import sys

from samples import CAT


def printed_by(code):
    """Return the words of the last line that a program prints."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_explaining_loads_neither_the_compiler_nor_figures(tmp_path):
    """An image is explained by the default network, whose layers pad their input, and its report is written."""
    words = ["fusioncam", "explain", str(CAT), "-m", "score-cam(budget=8)", "-o", str(tmp_path)]
    code = f"""
import contextlib, sys
from fusioncam.cli.main import main
sys.argv = {words!r}
with contextlib.suppress(SystemExit):
    main()
print(*sorted({{"timm", "torch._dynamo.config", "sympy", "matplotlib.figure", "pandas"}} & set(sys.modules)))
"""
    assert printed_by(code) == ["timm"]
    assert (tmp_path / "report.html").is_file()


QUICKLY = """
import gc, sys
from fusioncam.cli.quick_imports import import_quickly
assert import_quickly("fusioncam.methods.registry").METHODS
assert "sympy" not in sys.modules and gc.isenabled() and gc.get_freeze_count() > 100_000
import torch
"""


def test_deferred_compiler_compiles_later():
    """Networks that pad can be compiled, and a setting of the compiler reaches it."""
    code = f"""{QUICKLY}
pad = lambda x: torch.nn.functional.pad(x, (1, 1, 0, 0)) + 1
assert pad(torch.zeros(1, 1, 2, 2)).sum() == 8 and "sympy" not in sys.modules
torch._dynamo.config.cache_size_limit = 7
compiled = torch.compile(pad, backend="eager")
assert "sympy" in sys.modules and torch._dynamo.__file__ and torch._dynamo.config.cache_size_limit == 7
print(*compiled(torch.zeros(1, 1, 2, 2)).flatten().tolist())
"""
    assert printed_by(code) == ["1.0"] * 8


def test_parts_of_the_deferred_compiler_are_found():
    """Other libraries import modules of the compiler by name; functions that must not be compiled still run."""
    code = f"""{QUICKLY}
import torch._dynamo as compiler
disabled = torch.compiler.disable(lambda x: x + 1)
assert disabled(1) == 2 and "sympy" not in sys.modules
from torch._dynamo.exc import Unsupported
from torch._dynamo.utils import counters
assert torch._dynamo.exc.Unsupported is Unsupported is compiler.exc.Unsupported
assert torch._dynamo.utils.counters is counters and disabled(1) == 2
import torchvision
boxes = [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
print(*torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 1).flatten().tolist())
"""
    assert printed_by(code) == ["1.0"]
