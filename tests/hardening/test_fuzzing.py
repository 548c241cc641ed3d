"""Each hostile input works or is refused by an error of the library, with a short message."""

from __future__ import annotations

import pytest
import yaml

from fusioncam.benchmark.plan import as_plan
from fusioncam.errors import SettingError
from fuzzing import BOMB, KINDS, MERGES, attempt, fuzz
from selection import number_of


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_inputs_are_refused(kind):
    """The first inputs of each kind, always the same."""
    for seed in range(25):
        attempt(kind, seed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_very_many_hostile_inputs_are_refused(kind):
    """As many as there is time for: set FUSIONCAM_FUZZ_SECONDS and FUSIONCAM_FUZZ_SEED for more and for others."""
    assert fuzz(kind, number_of("FUSIONCAM_FUZZ_SECONDS", 2), number_of("FUSIONCAM_FUZZ_SEED", 40)).total() > 0


@pytest.mark.parametrize("bomb", [BOMB, MERGES])
def test_bombs_of_aliases_are_not_expanded(tmp_path, bomb):
    """Neither in memory nor in the message."""
    path = tmp_path / "plan.yaml"
    path.write_text(bomb + "data: photos\n")
    with pytest.raises(SettingError, match=r"method must be a name|has the key '<<'") as caught:
        as_plan(path)
    assert len(str(caught.value)) < 500 + len(str(path))


def test_few_nested_brackets_are_read(tmp_path, monkeypatch):
    """PyYAML takes minutes for a megabyte of them, because each one visits all that are open."""
    read, fetch = [], yaml.SafeLoader.fetch_flow_sequence_start
    monkeypatch.setattr(yaml.SafeLoader, "fetch_flow_sequence_start", lambda self: read.append(1) or fetch(self))
    path = tmp_path / "plan.yaml"
    path.write_text(f"data: photos\nmethod: {'[' * 300}{']' * 300}\n")
    with pytest.raises(SettingError, match="nested too deeply"):
        as_plan(path)
    assert len(read) < 30


def test_an_empty_number_of_yaml_is_refused(tmp_path):
    """PyYAML raises an IndexError for it."""
    path = tmp_path / "plan.yaml"
    path.write_text("data: photos\nlimit: !!int ''\n")
    with pytest.raises(SettingError, match="is not YAML that can be read"):
        as_plan(path)
