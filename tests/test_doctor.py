"""The doctor names what is wrong, and the command that mends it."""

from __future__ import annotations

import json
from pathlib import Path

from command import invoke

from rag.backends.models import DEFAULT_EMBEDDER, DEFAULT_LLM


def test_what_is_missing_comes_with_its_command(tmp_path: Path) -> None:
    index = ("--index", str(tmp_path / "none"))
    env = {"RAG_EMBEDDER": DEFAULT_EMBEDDER, "RAG_LLM": DEFAULT_LLM}
    models = str(tmp_path / "models")
    result = invoke("doctor", "--json", *index, **env, RAG_MODELS=models)
    report = json.loads(result.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert not report["ok"]
    assert {"python", "cpu", "memory", "embedder", "llm", "index"} == set(checks)
    assert checks["python"]["ok"]
    assert checks["cpu"]["ok"], "llama.cpp was tried in a process of its own"
    for name, code, command in (
        ("embedder", 5, f"rag models pull {DEFAULT_EMBEDDER}"),
        ("llm", 5, f"rag models pull {DEFAULT_LLM}"),
        ("index", 3, "rag index"),
    ):
        found = checks[name]
        assert (found["ok"], found["exit_code"]) == (False, code)
        assert command in found["hint"]
    first = next(check for check in report["checks"] if not check["ok"])
    assert result.exit_code == first["exit_code"], "what must be mended first"


def test_what_needs_no_weights_is_sound_until_the_index_is_another(shared_index: Path) -> None:
    text = invoke("doctor", "--index", str(shared_index))
    assert text.exit_code == 0, text.stdout
    assert "BAD" not in text.stdout
    assert "hash (no weights)" in text.stdout
    other = invoke("doctor", "--index", str(shared_index), RAG_EMBEDDER="absent-embedder")
    assert other.exit_code == 5
    lines = other.stdout.split("\n")
    (bad,) = [n for n, line in enumerate(lines) if line.startswith("BAD  index")]
    assert "hash, not absent-embedder" in lines[bad]
    assert "-> " in lines[bad + 1]
    assert "rag index" in lines[bad + 1]
