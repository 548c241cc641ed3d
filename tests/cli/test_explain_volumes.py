"""`explain` on volumes: NIfTI files, slices, and the page."""

from __future__ import annotations

import json
import re

import pytest

from fusioncam.report.html.page import write_html_report
from scans import scan, write_nifti, write_series

for needed in ("nibabel", "pydicom"):
    pytest.importorskip(needed, reason='volumes need pip install "fusioncam[volumes]"')


def test_the_command_line_writes_nifti_and_slices(cli, tmp_path):
    """Files of two methods, the figure of both, and a page with a slider."""
    path, out = write_nifti(tmp_path / "scan.nii.gz"), tmp_path / "out"
    settings = ("--model", "scans:model", "--target", "lesion", "-m", "grad-cam", "-m", "eigen-cam", "--out", out)
    result = cli("explain", path, write_series(tmp_path / "series"), *settings)
    assert result.code == 0, result.err
    names = {one.name for one in out.iterdir()}
    assert {"scan.png", "scan.eigen-cam.nii.gz", "series.grad-cam.nii.gz", "report.html"} <= names
    page = (out / "report.html").read_text()
    assert page.count('<label class="slice">') == 2
    assert re.search(r'data-slices="1 2 3 4 5 6 7 8" style="--slices: 8; --slice: 5"', page)
    assert "cannot be shown" not in page
    assert cli("explain", tmp_path, *settings).code == 0  # finds the inputs and leaves out its own results
    assert {one.name for one in out.iterdir()} == names


def test_a_page_without_its_files(cli, tmp_path):
    """It says what is missing, also where the heatmap is that of another volume."""
    path, out = write_nifti(tmp_path / "scan.nii.gz"), tmp_path / "out"
    cli("explain", path, "--model", "scans:model", "-m", "grad-cam", "-m", "eigen-cam", "--out", out)
    write_nifti(out / "scan.grad-cam.nii.gz", scan()[1:])
    (out / "scan.input.jpg").unlink()
    page = write_html_report(out)[-1].read_text()
    assert "2 files cannot be shown, the first: scan.grad-cam.nii.gz" in page
    facts = json.loads((out / "explanations.json").read_text())
    facts["explanations"][0]["volume"]["slices"] = [99]
    (out / "explanations.json").write_text(json.dumps(facts))
    assert "cannot be shown" in write_html_report(out)[-1].read_text()


def test_doctor_describes_a_network_of_volumes(cli, tmp_path):
    """With a volume, and without one."""
    settings = ("--model", "scans:model", "--no-speed")
    assert "for an input (1, 12, 10, 8)" in cli("doctor", write_nifti(tmp_path / "scan.nii.gz"), *settings).out
    assert "for an input (1, 64, 64, 64)" in cli("doctor", *settings).out


def test_a_damaged_volume_does_not_stop_the_others(cli, tmp_path):
    """It is listed as a failure."""
    good, bad = write_nifti(tmp_path / "a.nii.gz"), tmp_path / "b.nii.gz"
    bad.write_bytes(good.read_bytes()[:100])
    result = cli("explain", bad, good, "--model", "scans:model", "-m", "grad-cam", "--out", tmp_path / "out")
    assert result.code == 1
    assert "b.nii.gz: damaged, or not a NIfTI file" in result.err
    assert (tmp_path / "out" / "a.grad-cam.nii.gz").is_file()
