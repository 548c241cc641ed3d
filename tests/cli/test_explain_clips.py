"""`fusioncam explain` with clips: names, classes, options, and clips among images."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clips import frames_of, panned, sound, write_clip
from command_line import ALWAYS_WRITTEN, FAST, SMALL, strict
from fusioncam.explanations.result_files import entry_files, listed_results
from samples import photo


@pytest.fixture
def clip(cli) -> Path:
    """Write a clip into the current folder."""
    return write_clip(Path("cat walks.mp4"), panned(4))


def facts_of(out: str = "fusioncam-out") -> dict:
    """Read the facts of a run."""
    return strict(Path(out, "explanations.json").read_bytes())


def test_a_clip_becomes_a_video(cli, clip):
    """The class is that of the whole clip, and facts and table state what was computed."""
    result = cli("explain", clip, *SMALL)
    (one,) = facts_of()["clips"]
    assert (result.code, result.err) == (0, "")
    assert (one["clip"], one["method"], one["frames"], len(one["times"])) == (
        str(clip),
        "fusion-cam(budget=24)",
        4,
        4,
    )
    assert one["files"] == ["cat walks.fusion-cam_budget=24.mp4"]
    assert "4 / 4" in result.out
    assert len(frames_of(Path("fusioncam-out", one["files"][0]))) == 4
    assert sorted(path.name for path in Path("fusioncam-out").iterdir()) == sorted(
        [*one["files"], "explanations.json"]
    )


def test_methods_and_classes_have_a_video_each(cli, clip):
    """A second run replaces the videos of the first, and neither is an input of a third."""
    for _ in range(2):
        result = cli("explain", clip, *FAST, "-m", "layer-cam", "--target", "top2", "--every", "2", "--json")
        files = [name for one in result.json["clips"] for name in one["files"]]
        assert {len(one["times"]) for one in result.json["clips"]} == {2}
    assert len(set(files)) == 4
    assert listed_results(Path("fusioncam-out")) == set(files)
    assert {path.name for path in Path("fusioncam-out").iterdir()} == {*files, "explanations.json"}
    again = cli("explain", "fusioncam-out/*.mp4", *FAST)
    assert (again.code, again.out) == (2, "")
    assert "left out 4 of 4 images" in again.err


def test_clips_and_images_in_one_run(cli, clip):
    """Images are explained as without the clip; those of other files fail, and the exit code is 1."""
    photo(size=(60, 40)).save("cat.png")
    sound(Path("song.mp4"))
    result = cli("explain", "cat.png", clip, "song.mp4", *FAST, "--fps", "5")
    facts = facts_of()
    assert result.code == 1
    assert result.err == "failed: song.mp4: it has no video, only audio\n"
    assert [one["image"] for one in facts["explanations"]] == ["cat.png"]
    assert [one["clip"] for one in facts["clips"]] == [str(clip)]
    assert [one["image"] for one in facts["failures"]] == ["song.mp4"]
    assert (
        {"report.html"}
        <= {path.name for path in Path("fusioncam-out").iterdir()}
        <= {
            *ALWAYS_WRITTEN,
            *(name for one in (*facts["explanations"], *facts["clips"]) for name in entry_files(one)),
        }
    )


def test_clips_of_folders_are_left_out(cli, clip):
    """A folder of photos may have hours of clips: a note says how to explain one."""
    photo(size=(60, 40)).save("cat.png")
    result = cli("explain", ".", *FAST)
    assert (result.code, result.err) == (
        0,
        "note: left out 1 clip of a folder: name a clip to explain it, such as cat walks.mp4\n",
    )
    assert "clips" not in facts_of()
    assert cli("explain", "*.mp4", *FAST, "--out", "others").code == 0


@pytest.mark.filterwarnings("default:.*frame 1 of 3")
def test_a_gif_is_an_image_unless_its_frames_are_requested(cli):
    """An option for clips makes it one."""
    first, *others = (image.quantize() for image in panned(3))
    first.save("cat.gif", save_all=True, append_images=others, duration=100)
    assert "frame 1 of 3 is used" in cli("explain", "cat.gif", *FAST).err
    assert len(facts_of()["explanations"]) == 1
    assert cli("explain", "cat.gif", *FAST, "--every", "1", "--out", "clip").code == 0
    assert facts_of("clip")["clips"][0]["frames"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cat.png", "--fps", "5"], "error: --fps applies only to clips, and there is none"),
        (["cat walks.mp4", "--every", "2", "--fps", "5"], "error: every=2 and fps=5 both choose frames"),
        (["cat walks.mp4", "--fps", "0"], "error: fps must be a positive number, got 0.0"),
        (["cat walks.mp4", "--smooth", "1"], "error: smooth must be from 0 to below 1, got 1.0"),
        (["cat walks.mp4", "--check"], "error: --check applies only to images, and cat walks.mp4 is a clip"),
        (["cat walks.mp4", "--frame", "2"], "error: --frame applies only to images, and cat walks.mp4 is a clip"),
        (
            ["cat walks.mp4", "--target", "label"],
            "error: --target label applies only to images, and cat walks.mp4 is",
        ),
        (["cat walks.mp4", "--target", "unicorn"], "error: the network has no class 'unicorn'"),
        (["cat walks.mp4", "--bulk", "--every", "2"], "error: --every, --fps, --smooth and --gif apply to"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_bad_requests(words, message, cli, clip):
    """The exit code is 2, and nothing is written but the list of no explanations."""
    photo(size=(60, 40)).save("cat.png")
    result = cli("explain", *words, *FAST)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(message)
    assert not list(Path("fusioncam-out").glob("*")) or not Path("fusioncam-out").exists()


def test_without_pyav_the_error_names_the_extra(cli, clip, monkeypatch):
    """Images need no PyAV."""
    monkeypatch.setitem(sys.modules, "av", None)
    photo(size=(60, 40)).save("cat.png")
    result = cli("explain", clip, *FAST)
    assert (result.code, result.out) == (2, "")
    assert result.err == 'error: clips need av: pip install "fusioncam[video]"\n'
    assert cli("explain", "cat.png", *FAST).code == 0


def test_ctrl_c_keeps_the_videos_that_are_finished(cli, clip, monkeypatch):
    """The one that is being written is removed."""
    from fusioncam.cli import explain_clips

    write, calls = explain_clips.write_overlay, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            args[1].write(b"a part")
            raise KeyboardInterrupt
        return write(*args, **kwargs)

    monkeypatch.setattr(explain_clips, "write_overlay", interrupted)
    result = cli("explain", clip, *FAST, "-m", "layer-cam")
    assert result.code == 130
    assert "1 videos are in fusioncam-out" in result.err
    assert [one["method"] for one in facts_of()["clips"]] == ["grad-cam"]
    assert {path.name for path in Path("fusioncam-out").iterdir()} == {"explanations.json", "cat walks.grad-cam.mp4"}


def test_a_full_disk_is_one_failure(cli, clip, monkeypatch):
    """The message names the file, and no part of it remains."""
    from fusioncam.explanations import clip_writer

    def full(self, image, time):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clip_writer.ClipWriter, "write", full)
    result = cli("explain", clip, *FAST)
    assert result.code == 1
    assert "cannot write fusioncam-out/cat walks.grad-cam.mp4: No space left on device" in result.err
    assert {path.name for path in Path("fusioncam-out").iterdir()} == {"explanations.json"}


def frames(folder: Path) -> Path:
    """Write four numbered frames into a folder."""
    folder.mkdir()
    for number, image in enumerate(panned(4), 9):
        image.save(folder / f"frame_{number}.png")
    return folder


def test_a_folder_of_frames_is_a_clip_if_it_is_asked_for(cli):
    """By an option for clips; otherwise its images are explained."""
    frames(Path("walk.v2"))
    cli("explain", "walk.v2", *FAST, "--out", "images")
    assert len(facts_of("images")["explanations"]) == 4
    result = cli("explain", "walk.v2/", *FAST, "--every", "2")
    (one,) = facts_of()["clips"]
    assert (result.code, result.err) == (0, "")
    assert (one["clip"], one["frames"], one["files"]) == ("walk.v2", 4, ["walk.v2.grad-cam.mp4"])
    assert len(frames_of(Path("fusioncam-out", *one["files"]))) == 4


def test_networks_of_clips_explain_folders_of_frames(cli):
    """Without an option, because they cannot explain an image; other folders have an error that says so."""
    frames(Path("walk"))
    frames(Path("photos")).joinpath("frame_9.png").rename("photos/cover.png")
    network = ("--model", "samples:of_clips", "-m", "grad-cam")
    result = cli("explain", "walk", *network)
    assert (result.code, result.err) == (0, "")
    assert [one["files"] for one in facts_of()["clips"]] == [["walk.grad-cam.mp4"]]
    result = cli("explain", "photos", *network)
    assert result.code == 2
    assert "takes several frames at once, not images: name a clip, such as clip.mp4, or a folder of" in result.err


def test_gif_output(cli, clip, monkeypatch):
    """It has the explained frames, and needs PyAV only to read a video."""
    from PIL import Image

    frames(Path("walk"))
    assert cli("explain", clip, *FAST, "--gif", "--fps", "5").code == 0
    with Image.open("fusioncam-out/cat walks.grad-cam.gif") as image:
        assert (image.format, image.n_frames, image.size, image.info["duration"]) == ("GIF", 2, (96, 64), 200)
    monkeypatch.setitem(sys.modules, "av", None)
    assert cli("explain", "walk", *FAST, "--gif").code == 0
    result = cli("explain", "walk", *FAST, "--every", "1")
    assert (result.code, result.err) == (2, 'error: clips need av: pip install "fusioncam[video]"\n')
