"""Turn texts into file names and printable texts."""

from __future__ import annotations

import os
import re
import unicodedata

# what Windows rejects, and surrogates, which stand for bytes that are not text
_NOT_ALLOWED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')
# controls of C0 and C1, line and paragraph separators, and marks of direction
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_DEVICES = r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|(COM|LPT)[0-9¹²³]) *(\..*)?"


def slug(text: str) -> str:
    """Return the text with everything replaced that does not belong in a file name, at most 80 bytes of UTF-8.

    >>> slug("fusion-cam:official(theta=20)"), slug("con")
    ('fusion-cam_official_theta=20', '_con')
    """
    words = re.sub(r"[^\w.+=-]+", "_", text).strip("_.")
    return not_reserved(truncate_stem(words, 80).rstrip("_.") or "_")


def short_label(label: str | None, otherwise: object) -> str:
    """Return the first of a class's synonyms, or ``otherwise`` as text for a class without a name.

    >>> short_label("tabby, tabby cat", 281), short_label(None, 281)
    ('tabby', '281')
    """
    return label.split(",")[0] if label else str(otherwise)


def bare_stem(name: str) -> str:
    """Return the name of a file without its ending, of which ``.nii.gz`` is one.

    >>> bare_stem("scan.nii.gz"), bare_stem("a.b.png")
    ('scan', 'a.b')
    """
    stem, _, ending = name.rpartition(".")
    if not stem:
        return name
    return stem[:-4] if ending.lower() == "gz" and stem.lower().endswith(".nii") and len(stem) > 4 else stem


def file_stem(stem: str) -> str:
    """Return the stem of an image's file as one that every system accepts, with at most 120 bytes.

    Characters that Windows rejects and bytes that are not text become underscores.

    >>> file_stem("a:b. "), file_stem("NUL"), file_stem("nullify")
    ('a_b', '_NUL', 'nullify')
    """
    return not_reserved(truncate_stem(_NOT_ALLOWED.sub("_", stem)).rstrip(". ") or "_")


def not_reserved(name: str) -> str:
    """Return the name with an underscore in front if Windows reserves it for a device, with or without an ending."""
    return f"_{name}" if re.fullmatch(_DEVICES, name, re.IGNORECASE | re.DOTALL) else name


def truncate_stem(stem: str, limit: int = 120) -> str:
    """Return the stem cut to ``limit`` bytes, which leaves room for a suffix: a file name has at most 255 bytes.

    The cut is between two letters, and never between a letter and its combining marks.

    >>> truncate_stem("日本", 5), truncate_stem("cafe\N{COMBINING ACUTE ACCENT}", 5)
    ('日', 'caf')
    """
    if len(os.fsencode(stem)) <= limit:
        return stem
    end = limit  # a letter has at least one byte
    while end and (len(os.fsencode(stem[:end])) > limit or unicodedata.combining(stem[end : end + 1] or " ")):
        end -= 1
    return stem[:end]


def name_key(name: str) -> str:
    """Return a key that is equal for names that are one file where case or Unicode normalisation do not count.

    >>> name_key("Cafe\N{COMBINING ACUTE ACCENT}.PNG") == name_key("caf\N{LATIN SMALL LETTER E WITH ACUTE}.png")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def printable(text: str) -> str:
    """Return the text with everything escaped that a terminal would obey or that is no letter.

    These are control characters, of which escape sequences consist, line breaks, and marks that reverse the
    direction of what follows. A question mark stands for each byte of a file name that is not text.

    >>> print(printable("cat" + chr(27) + "[2J" + chr(10)))
    cat\\x1b[2J\\n
    """
    return _OBEYED.sub(_escaped, text).encode(errors="replace").decode()


def printable_lines(text: str) -> str:
    """Return the text as :func:`printable` does, but keep line breaks and tabs, for messages."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def minus(text: str) -> str:
    """Return the text with minus signs instead of hyphens, for negative numbers in print."""
    return text.replace("-", "\N{MINUS SIGN}")
