"""File names that every system accepts."""

from __future__ import annotations

import pytest

from fusioncam.utils.text import file_stem, name_key, slug, truncate_stem


@pytest.mark.parametrize("letter", ["a", "é", "日", "🐈", "e\u0301", "\udce9"])
@pytest.mark.parametrize("offset", range(5))
def test_names_are_cut_between_letters(letter, offset):
    """The result is valid text of at most the limit, and ends with a whole letter and its marks."""
    stem = "x" * offset + letter * 130
    cut = truncate_stem(stem)
    assert stem.startswith(cut)
    assert len(cut.encode(errors="surrogateescape")) <= 120
    assert (len(cut) - offset) % len(letter) == 0
    assert len(cut.encode(errors="surrogateescape")) > 120 - 4
    assert len(slug(stem).encode()) <= 80
    file_stem(stem).encode()


@pytest.mark.parametrize(
    "name", ["CON", "con", "Aux", "NUL.tar", "nul .x", "PRN", "COM1", "lpt9.a.b", "COM¹", "CONIN$"]
)
def test_names_of_devices_get_an_underscore(name):
    """Windows reserves them in any case, with any ending."""
    assert file_stem(name) == "_" + name


@pytest.mark.parametrize(
    "name", ["CONE", "console", "com", "COM10", "nullify", "a.con", "猫 v1.0", "[x] [1]", "100%"]
)
def test_other_names_stay(name):
    """Names that only resemble those of devices, and other scripts, are not changed."""
    assert file_stem(name) == name


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.", "a"),
        ("a . ", "a"),
        ("a:b", "a_b"),
        ('<>"|?*\\', "_______"),
        ("a\nb\x1b[0m\x9b", "a_b_[0m_"),
        ("..", "_"),
        ("", "_"),
        ("caf\udce9", "caf_"),
        ("con. ", "_con"),
    ],
)
def test_characters_that_windows_rejects_are_replaced(name, stem):
    """Trailing dots and spaces, separators, control characters and bytes that are not text are no part of a name."""
    assert file_stem(name) == stem


def test_slugs_name_no_device_and_end_with_no_dot():
    """A slug may be the name of a folder."""
    assert (slug("aux"), slug("x" * 79 + ".yz"), slug("猫" * 50)) == ("_aux", "x" * 79, "猫" * 26)


def test_keys_ignore_case_and_normalisation():
    """They differ for other names."""
    assert name_key("STRASSE") == name_key("straße")
    assert name_key("a") != name_key("b")
