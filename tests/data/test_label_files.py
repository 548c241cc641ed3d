"""Test the forms of files of class names, and the errors for forms that cannot be read."""

from __future__ import annotations

import json

import pytest

from fusioncam.data.label_files import parse_labels
from fusioncam.data.labels import read_labels
from fusioncam.errors import TargetError

NAMES = ("oak", "red beech", "elm, wych elm", "ash")
IDS = ("n00000003", "n00000001", "n00000004", "n00000002")


def lines(form: str, order: tuple[int, ...] = (0, 1, 2, 3)) -> str:
    """Return a line for each name, with its index as ``{0}``, the name as ``{1}`` and a WordNet id as ``{2}``."""
    return "\n".join(form.format(index, NAMES[index], IDS[index]) for index in order)


FORMS = {
    "names": lines("{1}"),
    "list of YAML": lines("- {1}"),
    "mapping of YAML": "names:\n" + lines("  {0}: {1}"),
    "WordNet ids": lines("{2} {1}"),
    "index and WordNet id": lines("{0}\t{2}\t{1}"),
    "table": "index,wnid,name\n" + lines('{0},{2},"{1}"'),
    "table, name first": "name;id\n" + lines("{1};{0}", (2, 0, 3, 1)),
    "JSON": json.dumps(NAMES),
    "JSON by index": json.dumps({index: name for index, name in reversed(list(enumerate(NAMES)))}),
    "JSON by name": json.dumps({name: index for index, name in enumerate(NAMES)}),
    "JSON of Keras": json.dumps({index: [IDS[index], name] for index, name in enumerate(NAMES)}),
    "JSON of Hugging Face": json.dumps({"hidden": 3, "id2label": dict(enumerate(NAMES))}),
    "JSON records": json.dumps([{"id": index, "name": name} for index, name in enumerate(NAMES)][::-1]),
    "Python": repr(dict(enumerate(NAMES))),
    **{
        f"index{separator}name, {order}": lines(f"{{0}}{separator}{{1}}", order)
        for separator in (",", ", ", ": ", ":", " ", "\t", ";", ". ", ") ", " = ", "|")
        for order in ((0, 1, 2, 3), (3, 1, 0, 2))
    },
    **{
        f"name{separator}index": lines(f"{{1}}{separator}{{0}}", (1, 3, 2, 0)) for separator in (", ", ":", "\t", "=")
    },
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_each_name_has_its_index(text, tmp_path):
    """Names are ordered by their indices, and neither indices, WordNet ids nor headers become part of them."""
    (tmp_path / "names.txt").write_text(text, encoding="utf-8-sig")
    assert read_labels(tmp_path / "names.txt") == NAMES


@pytest.mark.parametrize(
    "names",
    [("0", "1", "2"), ("3 musketeers", "12 monkeys"), ("class 0", "class 1"), ("[void]", "cat"), ("n01", "n02")],
)
def test_numbers_that_are_parts_of_names_are_kept(names):
    """Digits and counts are not taken for indices, and a bracket is not taken for JSON."""
    assert parse_labels("\n".join(names)) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines("{0},{1}", (1, 2, 3)), "its 3 indices must be 0 to 2, each once, got 1, 2, 3"),
        (lines("{0} {1}", (1, 2, 3)), "indices must be 0 to 2"),
        (lines("{0}: {1}", (0, 1, 1)), "each once, got 0, 1, 1"),
        (lines("{1}: {0}", (0, 1, 3)), "indices must be 0 to 2"),
        ("id,latin,english\n" + lines("{0},{1},{1}"), "CSV with the header id, latin, english: .* 'name'"),
        ('["oak", "elm"', "JSON"),
        ('{"oak": 1.5}', "JSON must be a list of names"),
        ('[["oak"], ["elm"]]', "JSON must be"),
        ('{"oak": true, "elm": false}', "JSON must be"),
        ("[" * 100_000 + "]" * 100_000, "not valid JSON"),
        ('{"oak": ' + "1" * 6000 + "}", "JSON"),
        ("{}", "JSON must be"),
        ("item {\n  id: 1\n  name: 'oak'\n}", "protobuf"),
        ("<?xml version='1.0'?>\n<a/>", "XML"),
    ],
)
def test_other_forms_are_refused_by_name(text, message, tmp_path):
    """The error names the file and the form, and nothing is guessed."""
    path = tmp_path / "names.txt"
    path.write_text(text)
    with pytest.raises(TargetError, match=rf"names\.txt: .*{message}"):
        read_labels(path)
