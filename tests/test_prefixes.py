"""Cells kept on disk: what was kept comes back, what has changed does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rag.backends.prefixes import load_prefix, prefix_key, save_prefix


def test_what_was_kept_comes_back_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "prefixes"
    assert load_prefix(folder, "a") is None
    for data in (b"", b"\n", bytes(range(256)) * 100):
        save_prefix(folder, "a", data)
        assert load_prefix(folder, "a") == data
    assert load_prefix(folder, "b") is None
    assert [file.suffix for file in folder.iterdir()] == [".kv"], "nothing temporary stays"


def test_a_changed_byte_or_a_cut_file_is_not_used(tmp_path: Path) -> None:
    save_prefix(tmp_path, "a", b"cells" * 50)
    file = tmp_path / "a.kv"
    whole = file.read_bytes()
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert load_prefix(tmp_path, "a") is None, at
        file.write_bytes(whole[:at])
        assert load_prefix(tmp_path, "a") is None, at


def test_the_folder_does_not_grow_for_ever(tmp_path: Path) -> None:
    folder = tmp_path / "prefixes"
    for number in range(12):
        save_prefix(folder, f"k{number}", b"x")
        os.utime(folder / f"k{number}.kv", (number, number))
    names = {file.stem for file in folder.iterdir()}
    assert len(names) == 8
    assert "k11" in names
    assert "k0" not in names


def test_where_nothing_can_be_kept_nothing_fails(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    save_prefix(blocked, "a", b"x")
    assert load_prefix(blocked, "a") is None
    assert blocked.read_text() == "in the way"


@pytest.mark.parametrize("change", ["tokens", "runtime", "bytes", "time"])
def test_the_key_changes_with_whatever_the_cells_depend_on(tmp_path: Path, change: str) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"weights")
    os.utime(model, (1, 1))
    before = prefix_key(model, [1, 2], runtime="1")
    assert before == prefix_key(model, [1, 2], runtime="1")
    if change == "bytes":
        model.write_bytes(b"other weights")
        os.utime(model, (1, 1))
    if change == "time":
        os.utime(model, (2, 2))
    tokens = [1, 3] if change == "tokens" else [1, 2]
    assert prefix_key(model, tokens, runtime="2" if change == "runtime" else "1") != before
