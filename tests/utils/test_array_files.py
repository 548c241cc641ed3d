"""Array files that are damaged, or something else."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from fusioncam.utils.array_files import map_array


def test_an_array_is_read(tmp_path):
    """The values are those that were written."""
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    assert map_array(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("seed", range(40))
def test_damaged_headers_are_value_errors(tmp_path, seed):
    """numpy raises SyntaxError, TokenError and others for bytes of the header that were exchanged."""
    path, rng = tmp_path / "a.npy", np.random.default_rng(seed)
    np.save(path, np.zeros((2, 3)))
    data = bytearray(path.read_bytes())
    for position in rng.integers(10, 80, 3):
        data[position] = rng.choice([0, 34, 39, 40, 41, 123, 10, 255])
    path.write_bytes(bytes(data))
    with suppress(ValueError):  # the change may have hit a space
        map_array(path)


def test_an_unclosed_header_is_a_value_error(tmp_path):
    """It is a TokenError of numpy's."""
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data.replace(b"}", b"\0", 1))
    with pytest.raises(ValueError, match="Error"):
        map_array(tmp_path / "a.npy")


def test_several_arrays_are_refused(tmp_path):
    """A renamed .npz is not an array."""
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(ValueError, match="several arrays"):
        map_array(tmp_path / "a.npy")
