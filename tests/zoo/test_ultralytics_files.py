"""Checkpoints of ultralytics."""

from __future__ import annotations

import os

import pytest

from fusioncam.errors import MissingExtraError, WeightsError
from fusioncam.zoo.ultralytics_files import load_ultralytics


def test_ultralytics_installs_no_packages(monkeypatch, tmp_path):
    """Unless its user has allowed that."""
    for given, expected in ((None, "false"), ("true", "true")):
        monkeypatch.setenv("YOLO_AUTOINSTALL", given) if given else monkeypatch.delenv("YOLO_AUTOINSTALL")
        with pytest.raises((MissingExtraError, WeightsError)):
            load_ultralytics(str(tmp_path / "no.pt"))
        assert os.environ["YOLO_AUTOINSTALL"] == expected
