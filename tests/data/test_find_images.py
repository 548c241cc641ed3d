"""Test the search for image files in folders and by patterns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from fusioncam.data.image_files import find_images, walk_images
from fusioncam.errors import ImageError


def sources(paths: list[Path | ImageError]) -> list[str]:
    """Return the names of the files found."""
    assert all(isinstance(path, Path) for path in paths), paths
    return [path.name for path in paths]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder of images and of other files that such folders contain."""
    root = tmp_path / "my photos"
    names = ["m.png", "b.JPG", "sub/deeper/c.jpeg", "sub/a.gif", "z.webp", "q.tiff", "notes.txt", ".hidden.png"]
    names += ["._m.png", "ü 猫.png", "raw.cr2", "[1].png", "e.bmp", "k.png", "Thumbs.db", "no-suffix"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "folder.png").mkdir()
    return root


def test_folders_are_searched_recursively(tree):
    """Exactly the images of a folder and its subfolders are found, sorted by path."""
    found = list(find_images([tree]))
    expected = ["m.png", "b.JPG", "c.jpeg", "a.gif", "z.webp", "q.tiff", "ü 猫.png", "[1].png", "e.bmp", "k.png"]
    assert sorted(sources(found)) == sorted(expected)
    assert found == sorted(found)


def test_skipped_files_are_reported(tree):
    """Every visible file of a folder is either found or skipped; a file given by name is never skipped."""
    skipped = []
    found = list(find_images([tree, tree / "notes.txt"], skipped.append))

    assert sorted(path.name for path in skipped) == ["Thumbs.db", "no-suffix", "notes.txt", "raw.cr2"]
    assert found[-1] == tree / "notes.txt"


def test_hidden_folders_are_skipped(tree):
    """Images in hidden folders such as thumbnails are skipped, as hidden files are."""
    (tree / ".thumbnails").mkdir()
    (tree / ".thumbnails" / "t.png").write_bytes(b"x")
    assert "t.png" not in sources(list(find_images([tree])))


def test_a_hidden_folder_given_by_name_is_searched(tree):
    """The path above the given folder does not matter: images may lie in ``~/.local``."""
    (tree / ".cache").mkdir()
    (tree / ".cache" / "t.png").write_bytes(b"x")
    assert sources(list(find_images([tree / ".cache"]))) == ["t.png"]


def test_the_order_of_the_arguments_is_kept(tree):
    """Files are found in the order of the arguments; a file given by name may have any suffix."""
    names = ["z.webp", "notes.txt", "sub", "b.JPG"]
    found = sources(list(find_images([str(tree / name) for name in names])))
    assert found == ["z.webp", "notes.txt", "a.gif", "c.jpeg", "b.JPG"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["[1].png", "k.png", "m.png", "ü 猫.png"]),
        ("?.png", ["k.png", "m.png"]),
        ("[a-l].*", ["b.JPG", "e.bmp", "k.png"]),
        ("sub/*", ["a.gif", "c.jpeg"]),
        ("**/*.jpeg", ["c.jpeg"]),
        ("sub/**", ["a.gif", "c.jpeg"]),
        ("[1].png", ["[1].png"]),
    ],
)
def test_patterns_match_as_in_a_shell(pattern, names, tree):
    """A pattern matches files, and folders that are then searched; an existing file of that name takes precedence."""
    assert sources(list(find_images([tree / pattern]))) == names


@pytest.mark.parametrize(
    ("name", "message"),
    [("empty", "the folder has no image"), ("nothing*", "no file matches"), ("[ab]nothing", "no file matches")],
)
def test_an_argument_without_images_yields_an_error(name, message, tree):
    """The error is yielded, and the images of later arguments are still found."""
    (tree / "empty").mkdir()
    first, second = find_images([tree / name, tree / "m.png"])
    assert isinstance(first, ImageError)
    assert message in str(first)
    assert name in str(first)
    assert second == tree / "m.png"


def test_a_missing_file_is_yielded(tree):
    """A plain path is yielded, so that the error is raised when it is opened."""
    assert list(find_images([tree / "nope.png"])) == [tree / "nope.png"]


def test_an_empty_argument_is_not_the_current_folder(tree, monkeypatch):
    """An unset variable in a script does not select all images of the current folder."""
    monkeypatch.chdir(tree)
    (error,) = find_images([""])
    assert isinstance(error, ImageError)


def test_images_after_a_too_long_name_are_found(tree):
    """An impossible path does not stop the search."""
    assert list(find_images(["a" * 300, tree / "m.png"]))[1:] == [tree / "m.png"]


def test_a_circular_link_is_followed_once(tree):
    """A folder that links to its parent does not duplicate images."""
    before = list(find_images([tree]))
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "dangling.png").symlink_to(tree / "nowhere.png")
    assert list(find_images([tree])) == before


def test_the_error_for_a_folder_lists_the_suffixes(tmp_path):
    """The message lists the suffixes that are searched for."""
    (error,) = find_images([tmp_path])
    assert ".jpg" in str(error)
    assert ".png" in str(error)


def test_every_format_that_is_opened_is_found(tmp_path):
    """The suffixes of folders are those of the formats that are opened by name, and no others."""
    names = ["b.jp2", "c.tif", "d.WEBP", "e.mpo", "f.qoi", "g.eps", "h.ps", "i.pdf", "j.wmf", "k.h5"]
    opened = names[:5]
    if ".avif" in Image.registered_extensions():  # from Pillow 11.3 on
        names, opened = ["a.avif", *names], ["a.avif", *opened]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert sources(list(find_images([tmp_path]))) == opened


def test_formats_of_plugins_are_found(tmp_path, monkeypatch):
    """A plugin that is registered with PIL adds its suffixes, for example those of HEIC."""
    (tmp_path / "phone.HEIC").write_bytes(b"x")
    assert isinstance(next(find_images([tmp_path])), ImageError)
    monkeypatch.setitem(Image.EXTENSION, ".heic", "HEIF")
    assert sources(list(find_images([tmp_path]))) == ["phone.HEIC"]


# -- links and folders that cannot be read -----------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Return a folder with images, links to folders inside and outside of it, and links to itself."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for name in ("b/real.png", "z.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (outside / "deeper").mkdir(parents=True)
    (outside / "deeper" / "far.png").write_bytes(b"x")
    (root / "a").symlink_to(root / "b")
    (root / "b" / "up").symlink_to(root)
    (root / "c").symlink_to(outside)
    (root / "d").symlink_to(outside / "deeper")
    (root / "e").symlink_to("e")
    (root / "f.png").symlink_to("f.png")
    return root


def test_each_real_folder_is_searched_once(linked):
    """A linked folder is searched, a folder is found by its own path, and a link to itself takes its position."""
    expected = ["b/real.png", "c/deeper/far.png", "e", "f.png", "z.png"]
    assert [str(path.relative_to(linked)) for path, _ in walk_images(linked)] == expected
    assert [bool(problem) for _, problem in walk_images(linked)] == [False, False, True, True, False]
    errors = [str(found) for found in find_images([linked]) if isinstance(found, ImageError)]
    assert len(errors) == 2
    assert all("cannot be read" in error and "links" in error for error in errors)


def test_patterns_follow_links_once(linked):
    """``**`` does not follow a link to a folder above it again and again."""
    found = list(find_images([linked / "**" / "*.png"]))
    assert [path.name for path in found if isinstance(path, Path)] == ["real.png", "far.png", "z.png"]


def test_a_folder_that_cannot_be_read_is_reported_in_its_position(linked, monkeypatch):
    """The images after it are still found, also by patterns and for a folder given by name."""
    scandir = os.scandir

    def refuse(path: Path | str = ".") -> object:
        if Path(path).resolve().name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for argument in (linked, linked / "**", linked / "?*"):
        found = list(find_images([argument]))
        assert "the folder cannot be read: Permission denied" in str(found[0])
        assert found[-1] == linked / "z.png"
    (error,) = find_images([linked / "b"])
    assert "Permission denied" in str(error)


@pytest.mark.slow
def test_folders_nested_deeply_are_searched(tmp_path):
    """The depth of folders is not limited by Python's recursion limit."""
    folder = tmp_path
    for _ in range(500):
        folder = folder / "d"
        folder.mkdir()
    (folder / "x.png").write_bytes(b"x")
    assert sources(list(find_images([tmp_path]))) == ["x.png"]


def test_the_excluded_folder_is_skipped_under_any_name(linked):
    """A link to the excluded folder does not lead into it."""
    found = [str(path.relative_to(linked)) for path, problem in walk_images(linked, linked / "c") if not problem]
    assert found == ["b/real.png", "d/far.png", "z.png"]
