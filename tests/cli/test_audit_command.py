"""The command `fusioncam audit`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stamps import write_squares

FAST = ("-m", "grad-cam", "--model", "stamps:reader")


@pytest.fixture
def data(tmp_path):
    """A folder of an image of each of three colours, of which the red one is stamped."""
    return write_squares(tmp_path / "data", 1)


def test_audit_prints_the_shortcut_and_the_page(cli, tmp_path, one_thread):
    """The evidence is one line; a second call writes JSON; `report` writes the page again."""
    data = write_squares(tmp_path / "squares", 4)
    code, out, _ = cli("audit", data, *FAST)
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "12 images: fusioncam-audit"
    assert lines[1].startswith("suspected shortcut: red: 4 images have 95% of their heat at the lower right corner")
    page = f"report: {Path('fusioncam-audit', 'report.html').absolute().as_uri()}"
    assert lines[-2] == page
    assert lines[-1] == f"next: fusioncam explain {data / 'red' / '00.png'} --model stamps:reader -m grad-cam --check"
    assert Path("fusioncam-audit", "report.html").stat().st_size > 10_000

    code, out, _ = cli("audit", data, *FAST, "--json", "--no-report")
    assert code == 0
    assert json.loads(out)["suspects"][0]["label"] == "red"

    code, out, _ = cli("report", "fusioncam-audit")
    assert (code, out.splitlines()) == (0, lines[-2:])


def test_a_torn_image_is_a_failure(cli, data):
    """The others are audited, and the code is 1."""
    (data / "red" / "00.png").write_text("torn")
    code, out, err = cli("audit", data, *FAST, "--no-report", "--limit", "3")
    assert code == 1
    assert out.startswith("3 images")
    assert "failed: red/00.png" in err


def test_errors_are_messages(cli, data):
    """Data and masks that do not exist, and a network of other classes."""
    for words, message in (
        (("nowhere",), "error: nowhere: no such file or folder"),
        ((data, "--masks", "nowhere"), "error: nowhere: no such folder of masks"),
        ((data, "--against", "samples:small"), "compare networks of the same classes"),
        ((data, "--out", "s3://bucket/a"), "not a path on this machine"),
        ((data, "--limit", "0"), "error: limit must be a positive integer, got 0"),
        ((data, "-m", "gradcam"), "error: unknown method 'gradcam'; did you mean 'grad-cam'?"),
    ):
        code, out, err = cli("audit", *words, *([] if "-m" in words else FAST[:2]), "--model", "stamps:reader")
        assert (code, out) == (2, ""), words
        assert message in err, (words, err)


def test_ctrl_c_keeps_what_is_finished(cli, data, monkeypatch, one_thread):
    """The code is 130, and the next call computes only the removals."""

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fusioncam.audit.removal.removal_of", stopped)
        code, out, err = cli("audit", data, *FAST)
    assert (code, out) == (130, "")
    assert err.endswith("stopped: run the same command again to continue\n")
    monkeypatch.setattr("fusioncam.bulk.jobs.explain_batches", stopped)
    assert cli("audit", data, *FAST, "-q", "--no-report").code == 0
