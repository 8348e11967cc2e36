"""Files are put in place whole or not at all."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from rag.errors import OutOfResources, UsageError
from rag.files import replace_file


def names(folder: Path) -> list[str]:
    """What lies in a folder, temporary files included."""
    return sorted(file.name for file in folder.iterdir() if file.name != "home")


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "target"
    replace_file(target, b"old")
    replace_file(target, b"new")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["target"]


def test_what_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "full").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be written: Is a directory") as caught:
        replace_file(target, b"newer")
    assert caught.value.hint
    assert names(tmp_path) == ["target"]
    with pytest.raises(UsageError, match="cannot be written"):
        replace_file(tmp_path / "gone" / "target", b"newer")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "target"
    replace_file(target, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutOfResources, match="cannot be written") as caught:
            replace_file(target, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free some space" in caught.value.hint
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]
