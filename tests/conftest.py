"""Fixtures that several test files share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from PIL import Image
from skimage import data

from fusioncam import ExplainedModel, Speed, load_model

# test processes share the cores; the programs that tests start inherit the setting
if processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    threads = max(1, (os.cpu_count() or 1) // processes)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
# ultralytics would install packages for the damaged images of other tests
os.environ["YOLO_AUTOINSTALL"] = "false"


# no test fails because other programs use the processor
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# all of their tests are slow, and what they import takes seconds in every process
WHOLLY_SLOW = (
    "test_ray.py",
    "test_ray_local.py",
    "test_app_in_browser.py",
    "test_image_list_in_browser.py",
    "test_stages_in_browser.py",
    "test_camera_in_browser.py",
    "test_report_in_browser.py",
    "test_audit_in_browser.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without a default test where only the default tests run."""
    return True if collection_path.name in WHOLLY_SLOW and config.option.markexpr == "not slow" else None


@pytest.fixture(scope="session")
def lite0() -> ExplainedModel:
    """The default model at its default layer, with the engine of masked passes that FUSIONCAM_TEST_ENGINE names."""
    return load_model(device="cpu", speed=Speed(engine=os.environ.get("FUSIONCAM_TEST_ENGINE", "torch")))


@pytest.fixture(scope="session")
def cat() -> Image.Image:
    """A free image of a cat."""
    return Image.fromarray(data.chelsea())


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference maps and images beside the project; tests that need it skip where it is not."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "oracles").is_dir():
        assert not os.environ.get("FUSIONCAM_REQUIRE_SHARED"), f"no reference maps in {folder}"
        pytest.skip("no reference maps beside the project")
    return folder


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; tests skip where it is missing, but not in CI."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        assert not os.environ.get("FUSIONCAM_REQUIRE_BROWSER"), "no chromium on the path"
        pytest.skip("no chromium on the path")
    with sync_api.sync_playwright() as playwright:
        # seconds on an idle machine, more on a busy one
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=120_000)
        yield started
        started.close()


@pytest.fixture(scope="module")
def one_thread():
    """What is this small is done by one thread before two have agreed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)
