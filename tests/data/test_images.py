"""Files and arrays become upright RGB images, or an error that names the file and what is wrong with it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fusioncam.data.images import find_images, open_image
from fusioncam.errors import ImageError
from samples import corners, photo

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, path: Path, **settings: object) -> Path:
    """Write the image and give its path."""
    image.save(path, **settings)
    return path


def png(path: Path, size: tuple[int, int], bits: int, kind: int, rows: bytes) -> Path:
    """Write a PNG of a kind that PIL itself cannot write; ``kind`` is the colour type of the format."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def pixel(image: Image.Image, place: tuple[int, int] = (2, 2)) -> tuple[int, ...]:
    """Give the colour at ``place`` (x, y) of an RGB image."""
    assert image.mode == "RGB"
    return image.getpixel(place)


def two_colours() -> Image.Image:
    """Give an image with a palette of red and blue, all of it blue."""
    image = Image.new("P", (8, 8), 1)
    image.putpalette([*RED, *BLUE])
    return image


def near(colour: tuple[int, ...], other: tuple[int, ...], tolerance: int = 12) -> bool:
    """Say whether two colours are the same but for what a lossy format costs."""
    return max(abs(one - two) for one, two in zip(colour, other, strict=True)) <= tolerance


def sources(paths: list[Path | ImageError]) -> list[str]:
    """Give the names of the files that were found."""
    assert all(isinstance(one, Path) for one in paths), paths
    return [one.name for one in paths]


# -- what can be read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "settings"),
    [
        ("rgb.png", lambda rgb: rgb, {}),
        ("rgb.bmp", lambda rgb: rgb, {}),
        ("rgb.ppm", lambda rgb: rgb, {}),
        ("rgb.webp", lambda rgb: rgb, {"lossless": True}),
        ("rgb.jpg", lambda rgb: rgb, {"quality": 95}),
        ("ycbcr.jpg", lambda rgb: rgb.convert("YCbCr"), {"quality": 95}),
        ("cmyk.jpg", lambda rgb: rgb.convert("CMYK"), {"quality": 95}),
        ("cmyk.tif", lambda rgb: rgb.convert("CMYK"), {}),
        ("palette.png", lambda rgb: rgb.quantize(4), {}),
        ("palette.gif", lambda rgb: rgb.quantize(4), {}),
        ("rgba.png", lambda rgb: rgb.convert("RGBA"), {}),
        ("JPEG AS PNG.png", lambda rgb: rgb, {"format": "JPEG", "quality": 95}),
    ],
)
def test_colours_survive_every_format(name, change, settings, tmp_path):
    """Red stays red and blue stays blue, whatever the file's mode and even if its suffix lies."""
    opened = open_image(saved(change(corners()), tmp_path / name, **settings))
    assert opened.size == (60, 40)
    assert near(pixel(opened, (2, 2)), RED)
    assert near(pixel(opened, (57, 37)), BLUE)


@pytest.mark.parametrize(
    ("mode", "grey"), [("L", 76), ("1", 255), ("LA", 76)], ids=["8 bits", "1 bit", "grey with alpha"]
)
def test_grey_becomes_three_equal_channels(mode, grey, tmp_path):
    """A grey image of any depth comes as grey RGB."""
    image = Image.new("L", (8, 8), 255 if mode == "1" else grey).convert(mode)
    assert pixel(open_image(saved(image, tmp_path / "grey.png"))) == (grey,) * 3


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize(("deep", "shallow"), [(0, 0), (32768, 127), (65535, 255), (1000, 3)])
def test_sixteen_bits_of_grey_become_eight_unclipped(suffix, deep, shallow, tmp_path):
    """Mid grey of a 16-bit image stays mid grey instead of becoming white."""
    path = saved(Image.fromarray(np.full((8, 8), deep, np.uint16)), tmp_path / f"deep.{suffix}")
    assert near(pixel(open_image(path)), (shallow,) * 3, tolerance=1)


def test_big_endian_sixteen_bits_are_read_alike(tmp_path):
    """The order of the bytes in the file does not change the grey."""
    image = Image.frombytes("I;16B", (8, 8), np.full((8, 8), 32768, ">u2").tobytes())
    assert near(pixel(open_image(saved(image, tmp_path / "deep.tif"))), (127,) * 3, tolerance=1)


def test_sixteen_bits_of_colour_become_eight(tmp_path):
    """A 16-bit RGB image keeps its colours."""
    row = b"\0" + struct.pack(">3H", 32768, 1000, 65535) * 4
    path = png(tmp_path / "deep.png", (4, 4), bits=16, kind=2, rows=row * 4)
    assert near(pixel(open_image(path)), (128, 3, 255), tolerance=1)


@pytest.mark.parametrize(
    ("name", "make", "settings"),
    [
        ("palette.png", two_colours, {"transparency": 1}),
        ("palette.gif", two_colours, {"transparency": 1}),
        ("palette-alphas.png", two_colours, {"transparency": b"\xff\x00"}),
        ("rgb.png", lambda: Image.new("RGB", (8, 8), "red"), {"transparency": RED}),
        ("grey.png", lambda: Image.new("L", (8, 8), 9), {"transparency": 9}),
        ("la.png", lambda: Image.new("LA", (8, 8), (9, 0)), {}),
        ("rgba.png", lambda: Image.new("RGBA", (8, 8), (9, 9, 9, 0)), {}),
        ("rgba.webp", lambda: Image.new("RGBA", (8, 8), (9, 9, 9, 0)), {"lossless": True}),
    ],
)
def test_transparent_parts_become_white(name, make, settings, tmp_path):
    """Nobody sees the colour behind a transparent part, so the network does not either."""
    assert pixel(open_image(saved(make(), tmp_path / name, **settings))) == WHITE


def test_half_transparent_parts_are_laid_on_white(tmp_path):
    """Half black over white is grey."""
    path = saved(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), tmp_path / "half.png")
    assert near(pixel(open_image(path)), (127,) * 3, tolerance=1)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        (1, "upper left"),
        (2, "upper right"),
        (3, "lower right"),
        (4, "lower left"),
        (5, "upper left"),
        (6, "upper right"),
        (7, "lower right"),
        (8, "lower left"),
    ],
)
def test_photographs_stand_upright(orientation, corner, tmp_path):
    """The EXIF orientation of a phone's photograph is applied: the red corner is where a viewer shows it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = open_image(saved(corners(), tmp_path / "phone.jpg", exif=exif, quality=95))
    assert opened.size == ((60, 40) if orientation < 5 else (40, 60))
    x = 2 if "left" in corner else opened.width - 3
    y = 2 if "upper" in corner else opened.height - 3
    assert near(pixel(opened, (x, y)), RED)
    assert near(pixel(opened, (opened.width - 1 - x, opened.height - 1 - y)), BLUE)


def test_pil_images_stand_upright_too(tmp_path):
    """An image that the caller opened is turned and converted as a file is."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(saved(corners(), tmp_path / "phone.jpg", exif=exif)) as image:
        assert open_image(image).size == (40, 60)


def test_opening_leaves_the_callers_image_alone():
    """The caller's own image is still what it was."""
    mine = Image.new("RGBA", (8, 8), (9, 9, 9, 0))
    open_image(mine)
    assert (mine.mode, mine.getpixel((0, 0))) == ("RGBA", (9, 9, 9, 0))


@pytest.mark.parametrize(
    "name", ["a b.png", "ü.png", "猫.PNG", "[1].png", "-x.png", "100%.png", "a.b.c.png", "no-suffix"]
)
def test_names_are_taken_as_they_are(name, tmp_path):
    """Spaces, other scripts, brackets and a missing suffix are no obstacle; a text path does as well."""
    path = saved(corners(), tmp_path / name, format="PNG")
    assert pixel(open_image(path)) == pixel(open_image(str(path))) == RED


# -- what cannot -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, I am no image", "not an image in a known format .22 bytes"),
        (b"<!DOCTYPE html><html></html>", "not an image"),
        (b"\xff\xd8", "not an image|damaged"),
    ],
)
def test_files_that_are_no_images_are_told(content, told, tmp_path):
    """The error says which file and what is in it."""
    path = tmp_path / "cat.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"cat\.jpg.*({told})"):
        open_image(path)


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.tif", "photo.bmp", "photo.gif", "photo.webp"])
def test_a_cut_off_file_is_an_error_and_never_a_grey_image(name, kept, tmp_path):
    """A download that stopped is told, whatever the format and wherever it stopped."""
    path = saved(photo(size=(200, 150)), tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ImageError, match=r"photo\.\w+: (damaged|not an image).*bytes"):
        open_image(path)


def test_a_damaged_file_is_an_error(tmp_path):
    """One changed byte in the pixels of a PNG is noticed."""
    path = saved(corners(), tmp_path / "flipped.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"flipped\.png: damaged"):
        open_image(path)


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 10_001), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_they_are_unpacked(size, tmp_path):
    """An image of too many pixels is refused by its header, in our words."""
    path = png(tmp_path / "bomb.png", size, bits=1, kind=0, rows=b"")
    with pytest.raises(ImageError, match=r"bomb\.png: .*over 100,000,000 pixels, make it smaller") as caught:
        open_image(path)
    assert "attack" not in str(caught.value)


def test_large_images_below_the_limit_are_not_warned_of(tmp_path):
    """Between PIL's limit and ours there is no warning: here the file is merely cut off."""
    with pytest.raises(ImageError, match="damaged or cut off"):
        open_image(png(tmp_path / "large.png", (9_900, 9_900), bits=1, kind=0, rows=b""))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_a_line_of_pixels_is_too_little(size, tmp_path):
    """A tracking pixel is refused with its size."""
    path = saved(Image.new("RGB", size), tmp_path / "pixel.png")
    with pytest.raises(ImageError, match=rf"pixel\.png: {size[0]} x {size[1]} pixels are too few"):
        open_image(path)


def test_floating_point_pixels_are_refused_by_name(tmp_path):
    """A float TIFF has no known range: the error says so, and of which file."""
    path = saved(Image.new("F", (8, 8), 0.5), tmp_path / "float.tif")
    with pytest.raises(ImageError, match="floating-point pixels have no fixed range: convert") as caught:
        open_image(path)
    assert "float.tif" in str(caught.value)


def test_what_is_not_there_is_told(tmp_path):
    """A missing file and a folder are told apart."""
    with pytest.raises(ImageError, match=r"nope\.png: no such file"):
        open_image(tmp_path / "nope.png")
    with pytest.raises(ImageError, match="a folder, not an image"):
        open_image(tmp_path)


def test_a_name_longer_than_the_system_allows_is_an_image_error():
    """A pasted text in place of a path raises the library's own error."""
    with pytest.raises(ImageError):
        open_image("a" * 300)


def test_errors_are_what_callers_catch(tmp_path):
    """Who knows nothing of the library catches OSError."""
    with pytest.raises(OSError, match="no such file"):
        open_image(tmp_path / "nope.png")


def test_a_lazily_opened_image_that_is_cut_off_is_an_image_error(tmp_path):
    """PIL reads pixels late; what then goes wrong is the library's error too."""
    path = saved(photo(size=(200, 150)), tmp_path / "cut.jpg")
    path.write_bytes(path.read_bytes()[:3000])
    with Image.open(path) as image, pytest.raises(ImageError):
        open_image(image)


@pytest.mark.parametrize(
    "thing", [None, 3, [[0, 1], [1, 0]], torch.zeros(3, 8, 8), b"cat.jpg"], ids=lambda thing: type(thing).__name__
)
def test_other_things_are_no_images(thing):
    """A tensor, a list or None is refused with what is wanted."""
    with pytest.raises(ImageError, match="uint8"):
        open_image(thing)


# -- arrays ----------------------------------------------------------------------------------------------------


def test_arrays_are_taken():
    """A uint8 array is an image: grey, RGB, RGBA, also one that is a view with strides."""
    rgb = np.asarray(corners())
    assert np.array_equal(np.asarray(open_image(rgb)), rgb)
    assert np.array_equal(np.asarray(open_image(rgb[::-1, ::2])), rgb[::-1, ::2])
    assert pixel(open_image(np.full((8, 8), 99, np.uint8))) == (99, 99, 99)
    assert pixel(open_image(np.zeros((8, 8, 4), np.uint8))) == WHITE


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 3)),
        np.zeros((8, 8), np.float32),
        np.zeros((8, 8), np.int64),
        np.zeros((8, 8), bool),
        np.zeros((8, 8), np.uint16),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros(8, np.uint8),
        np.zeros((), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused(array):
    """The error says what is wanted, and the type and shape that came."""
    with pytest.raises(ImageError, match="expected a uint8 array") as caught:
        open_image(array)
    assert str(array.dtype) in str(caught.value)
    assert str(array.shape) in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 8, 3), (8, 0, 3), (1, 8, 3)])
def test_arrays_without_pixels_are_refused(shape):
    """An empty slice is no image."""
    with pytest.raises(ImageError, match="too few"):
        open_image(np.zeros(shape, np.uint8))


# -- folders and patterns --------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of images with all that lies about in such folders."""
    root = tmp_path / "my photos"
    names = ["m.png", "b.JPG", "sub/deeper/c.jpeg", "sub/a.gif", "z.webp", "q.tiff", "notes.txt", ".hidden.png"]
    names += ["._m.png", "ü 猫.png", "raw.cr2", "[1].png", "e.bmp", "k.png", "Thumbs.db", "no-suffix"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "folder.png").mkdir()
    return root


def test_folders_are_searched_through(tree):
    """All images of a folder and of those in it are found, and nothing else, in the order of their paths."""
    found = list(find_images([tree]))
    wanted = ["m.png", "b.JPG", "c.jpeg", "a.gif", "z.webp", "q.tiff", "ü 猫.png", "[1].png", "e.bmp", "k.png"]
    assert sorted(sources(found)) == sorted(wanted)
    assert found == sorted(found)


def test_hidden_folders_are_passed_by(tree):
    """Images in a hidden folder (thumbnails, a trash) are no more wanted than hidden files."""
    (tree / ".thumbnails").mkdir()
    (tree / ".thumbnails" / "t.png").write_bytes(b"x")
    assert "t.png" not in sources(list(find_images([tree])))


def test_a_hidden_folder_that_is_named_is_searched(tree):
    """What lies above the named folder does not matter: people keep images in ``~/.local`` too."""
    (tree / ".cache").mkdir()
    (tree / ".cache" / "t.png").write_bytes(b"x")
    assert sources(list(find_images([tree / ".cache"]))) == ["t.png"]


def test_the_order_of_the_arguments_is_kept(tree):
    """Arguments come in the order in which they were typed, a named file whatever its suffix."""
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
def test_patterns_are_what_a_shell_makes_of_them(pattern, names, tree):
    """A quoted pattern gives what it gives unquoted: files, and folders searched through; a real name wins."""
    assert sources(list(find_images([tree / pattern]))) == names


@pytest.mark.parametrize(
    ("name", "told"),
    [("empty", "the folder has no image"), ("nothing*", "nothing matches"), ("[ab]nothing", "nothing matches")],
)
def test_nothing_found_is_an_error_in_its_place(name, told, tree):
    """What stands for nothing is told, and the images after it are found all the same."""
    (tree / "empty").mkdir()
    first, second = find_images([tree / name, tree / "m.png"])
    assert isinstance(first, ImageError)
    assert told in str(first)
    assert name in str(first)
    assert second == tree / "m.png"


def test_a_missing_file_is_left_to_who_opens_it(tree):
    """A plain path is handed on, so that its error comes where the image would have."""
    assert list(find_images([tree / "nope.png"])) == [tree / "nope.png"]


def test_an_empty_argument_is_not_the_current_folder(tree, monkeypatch):
    """An unset variable in a script does not explain everything that lies here."""
    monkeypatch.chdir(tree)
    (error,) = find_images([""])
    assert isinstance(error, ImageError)


def test_a_name_longer_than_the_system_allows_spoils_no_other(tree):
    """The image after an impossible path is found."""
    assert list(find_images(["a" * 300, tree / "m.png"]))[1:] == [tree / "m.png"]


def test_a_link_in_a_circle_is_walked_once(tree):
    """A folder that links to the one above it does not double its images."""
    before = list(find_images([tree]))
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "dangling.png").symlink_to(tree / "nowhere.png")
    assert list(find_images([tree])) == before


def test_the_kinds_of_images_are_told(tmp_path):
    """Who has images of another kind reads which suffixes are looked for."""
    (error,) = find_images([tmp_path])
    assert ".jpg" in str(error)
    assert ".png" in str(error)
