"""Settings: which layer wins, and that nothing unknown or out of bounds is let in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from rag.config import Settings, load
from rag.errors import UsageError


def test_each_layer_beats_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environment={}) == Settings()
    Path("rag.toml").write_text('index = "file"\nllm = "file"\nthreads = 2\noffline = true\n')
    environment = {"RAG_LLM": "environment", "RAG_THREADS": "3", "HOME": "/", "ragged": "x"}
    flags = {"threads": 4, "embedder": None}
    settings = load(environment=environment, flags=flags)
    expected = {"index": "file", "offline": True, "llm": "environment", "threads": 4}
    assert asdict(settings) == asdict(Settings()) | expected
    named = tmp_path / "other.toml"
    named.write_text("max_file_mb = 2\nanswer_threshold = 0")
    assert load(config_file=named, environment={}).max_file_mb == 2.0
    assert load(config_file=named, environment={}).index == Settings().index


@pytest.mark.parametrize(
    ("file", "environment", "flags", "parts"),
    [
        ("bogus = 1", {}, {}, ["bogus", "rag.toml"]),
        ("", {"RAG_BOGUS": "1"}, {}, ["RAG_BOGUS", "environment"]),
        ("", {}, {"bogus": 1}, ["bogus", "command line"]),
        ("[retrieval]\npassages = 3", {}, {}, ["retrieval", "rag.toml"]),
        ("threads = 2.5", {}, {}, ["threads", "rag.toml", "whole number"]),
        ("threads = true", {}, {}, ["threads", "whole number"]),
        ("offline = 1", {}, {}, ["offline", "true or false"]),
        ("index = 3", {}, {}, ["index", "text"]),
        (f"max_file_mb = 1{'0' * 400}", {}, {}, ["max_file_mb"]),
        ("evidence = 0", {}, {}, ["evidence", "outside 1 to"]),
        ("", {"RAG_THREADS": "many"}, {}, ["RAG_THREADS", "environment", "'many'"]),
        ("", {"RAG_OFFLINE": "maybe"}, {}, ["RAG_OFFLINE", "true or false"]),
        ("", {"RAG_SUPPORT_THRESHOLD": "nan"}, {}, ["RAG_SUPPORT_THRESHOLD"]),
        ("", {"RAG_MAX_FILE_MB": "inf"}, {}, ["RAG_MAX_FILE_MB"]),
        ("", {}, {"passages": 10_000}, ["passages", "command line", "200"]),
        ("threads = ", {}, {}, ["rag.toml", "cannot be read"]),
    ],
)
def test_what_does_not_fit_is_refused_with_its_layer(
    file: str,
    environment: dict[str, str],
    flags: dict[str, object],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rag.toml").write_text(file)
    with pytest.raises(UsageError) as caught:
        load(environment=environment, flags=flags)
    assert all(part in caught.value.message for part in parts), caught.value.message
    assert caught.value.hint


def test_every_number_has_bounds_and_every_default_lies_within(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no configuration file"):
        load(config_file=tmp_path / "absent.toml", environment={})
    for name, value in asdict(Settings()).items():
        assert load(environment={}, flags={name: value}) == Settings()
        assert load(environment={f"RAG_{name.upper()}": str(value)}) == Settings()
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            for far in (-1, 10**9):
                with pytest.raises(UsageError, match="outside"):
                    load(environment={}, flags={name: far})
