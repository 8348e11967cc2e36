"""Models are found, verified, and refused when a byte is wrong."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from model_fixtures import EMBEDDER_FILES, GGUF, TINY, TINY_LLM, flip_byte, llm_in

from rag.backends.models import (
    CATALOGUE,
    DEFAULT_EMBEDDER,
    DEFAULT_LLM,
    SMALL_LLM,
    locate,
    models_folder,
    status,
    verify,
)
from rag.errors import ModelUnusable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


# --- the catalogue


def test_catalogue_is_consistent() -> None:
    assert CATALOGUE[DEFAULT_LLM].kind == CATALOGUE[SMALL_LLM].kind == "llm"
    assert CATALOGUE[DEFAULT_EMBEDDER].kind == "embedder"
    for name, model in CATALOGUE.items():
        assert name == model.name == name.lower()
        assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in model.files)
        for pieces in model.wheels:
            held: dict[str, int] = {}
            for piece in pieces:
                assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", piece.requirement)
                assert piece.size > 0
                held[piece.file] = held.get(piece.file, 0) + piece.size
            assert held == {file.name: file.size for file in model.files}


def test_models_folder(tmp_path: Path) -> None:
    assert models_folder(tmp_path) == tmp_path
    assert models_folder(None).parts[-2:] == ("rag", "models")


# --- locate and verify


def test_locate_verified_file_in_any_case(folder: Path) -> None:
    path = llm_in(folder)
    assert locate("Tiny-LLM", folder=folder, kind="llm", catalogue=TINY) == path
    assert verify("TINY-llm", folder=folder, catalogue=TINY) == []


def test_missing_model_names_the_command(folder: Path) -> None:
    with pytest.raises(ModelUnusable, match=f"tiny-llm: not in {folder}") as caught:
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert caught.value.hint == "rag models pull tiny-llm"
    assert verify("tiny-llm", folder=folder, catalogue=TINY) == ["tiny.gguf: missing"]


def test_other_kind_is_refused(folder: Path) -> None:
    with pytest.raises(ModelUnusable, match="tiny-embedder is an embedder, not a language model"):
        locate("tiny-embedder", folder=folder, kind="llm", catalogue=TINY)


def test_wrong_byte_is_refused(folder: Path) -> None:
    flip_byte(llm_in(folder))
    good = TINY_LLM.files[0].sha256[:12]
    with pytest.raises(ModelUnusable, match=f"tiny.gguf: SHA-256 begins .*, {good} expected"):
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert len(verify("tiny-llm", folder=folder, catalogue=TINY)) == 1


def test_truncated_file_is_refused(folder: Path) -> None:
    os.truncate(llm_in(folder), len(GGUF) - 1)
    with pytest.raises(ModelUnusable, match=r"tiny\.gguf: 799,003 bytes, 799,004 expected"):
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)


def test_incomplete_embedder_is_refused(folder: Path) -> None:
    for name, data in EMBEDDER_FILES.items():
        (folder / "tiny-embedder" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tiny-embedder" / name).write_bytes(data)
    found = locate("tiny-embedder", folder=folder, kind="embedder", catalogue=TINY)
    assert found == folder / "tiny-embedder"
    (found / "1_Pooling/config.json").unlink()
    with pytest.raises(ModelUnusable, match=r"tiny-embedder: 1_Pooling/config.json: missing"):
        locate("tiny-embedder", folder=folder, kind="embedder", catalogue=TINY)


def _stamps(path: Path) -> dict[str, dict[str, object]]:
    return dict(json.loads((path.parent / ".verified.json").read_text()))


def test_a_verified_file_is_remembered_until_it_changes(folder: Path) -> None:
    path = llm_in(folder)
    locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert not (path.parent / ".verified.json").exists()  # written a moment ago: not yet trusted
    time.sleep(1.1)
    locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert _stamps(path)["tiny.gguf"]["sha256"] == TINY_LLM.files[0].sha256

    # A stamp that fits the file's times is believed: so the file is not read again ...
    flip_byte(path)
    stat = path.stat()
    times = {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
    stamps = {"tiny.gguf": {**_stamps(path)["tiny.gguf"], **times}}
    (path.parent / ".verified.json").write_text(json.dumps(stamps))
    assert locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY) == path
    # ... except by verify, which believes nothing and forgets what was wrong.
    assert verify("tiny-llm", folder=folder, catalogue=TINY)
    with pytest.raises(ModelUnusable, match="SHA-256"):
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)


def test_a_changed_byte_makes_the_stamp_void(folder: Path) -> None:
    path = llm_in(folder)
    time.sleep(1.1)
    locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    before = path.stat()
    flip_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # ctime cannot be put back
    with pytest.raises(ModelUnusable, match="SHA-256"):
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff\xfe", b'{"tiny.gguf": 3}'])
def test_a_damaged_stamp_file_is_ignored(folder: Path, damage: bytes) -> None:
    path = llm_in(folder)
    (path.parent / ".verified.json").write_bytes(damage)
    assert locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY) == path


def test_own_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / "own.gguf"
    own.write_bytes(GGUF)
    assert locate(str(own), folder=tmp_path, kind="llm") == own
    assert locate("~/own.gguf", folder=tmp_path, kind="llm") == own
    for bad in (b"", b"GGUF", b"<html>" + GGUF):
        own.write_bytes(bad)
        with pytest.raises(ModelUnusable, match="is not a readable GGUF model"):
            locate(str(own), folder=tmp_path, kind="llm")
    for missing in ("nothing.gguf", "~nobody-here/x.gguf", "nul\0.gguf", str(tmp_path)):
        with pytest.raises(ModelUnusable, match="no language model or GGUF file"):
            locate(missing, folder=tmp_path, kind="llm")


def test_own_embedder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in (str(own), "nothing", "a/b/c"):
        with pytest.raises(ModelUnusable, match="no embedder, or folder of one"):
            locate(name, folder=tmp_path, kind="embedder")
    (own / "modules.json").write_text("[]")
    assert locate(str(own), folder=tmp_path, kind="embedder") == own
    with pytest.raises(ModelUnusable, match="org/name: not in") as caught:
        locate("org/name", folder=tmp_path, kind="embedder")
    assert caught.value.hint == "rag models pull org/name"


def test_verify_knows_only_the_catalogue(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="no hashes are known"):
        verify("own.gguf", folder=tmp_path)


def test_status(folder: Path) -> None:
    path = llm_in(folder)
    llm, embedder = status(folder, TINY)
    assert (llm.name, llm.kind, llm.size, llm.present) == ("tiny-llm", "llm", len(GGUF), True)
    assert (embedder.kind, embedder.present, embedder.license) == ("embedder", False, "Apache-2.0")
    os.truncate(path, 10)
    assert not status(folder, TINY)[0].present
