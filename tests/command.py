"""The real command line, in a process of its own or in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from rag.cli import app
from rag.documents.sandbox import Sandbox
from rag.errors import UsageError

ROOT = Path(__file__).parents[1]
QUIET = ("-W", "ignore::ResourceWarning")  # llama_cpp leaves /dev/null open when it is imported
NO_WEIGHTS = {"RAG_EMBEDDER": "hash", "RAG_LLM": "extractive", "RAG_OFFLINE": "1"}


def environment(**more: str) -> dict[str, str]:
    """This process's, without models, and with the checkout on the path."""
    return {**os.environ, **NO_WEIGHTS, "PYTHONPATH": str(ROOT), **more}


def run(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """``python -m rag`` with these arguments."""
    return _process([], arguments, cwd, environment(**env))


def run_bound(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same as one whom permissions stop, also where the suite is run by root."""
    drop = "--bounding-set=-dac_override,-dac_read_search"
    return _process([] if os.geteuid() else ["setpriv", drop], arguments, cwd, environment())


def _process(
    before: list[str], arguments: tuple[str, ...], cwd: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-W", "error", *QUIET, "-m", "rag", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def parser_running(script: str) -> type[Sandbox]:
    """A parser of untrusted files whose process runs a script in place of its own."""

    class Scripted(Sandbox):
        def _start(self) -> subprocess.Popen[bytes]:
            self._process = subprocess.Popen(
                [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                cwd=ROOT,
            )  # fmt: skip
            return self._process

    return Scripted


def invoke(*arguments: str, **env: str) -> Any:
    """The same in this process; an error is the result's ``exception``."""
    return CliRunner().invoke(app, list(arguments), env={**NO_WEIGHTS, **env})


def restricted_batch(
    question: str,
    *,
    index: Path,
    folder: Path,
    nothing: list[str],
    given: list[str],
    again: list[str],
    others: list[list[str]],
    refused_as: str,
) -> Any:
    """A batch asked of some documents only, and again: the row that it wrote first.

    Args:
        question: The only one.
        index: To ask it of.
        folder: For its files.
        nothing: Flags that leave no document: refused before anything is written.
        given: Flags that leave some.
        again: The same, said otherwise: the batch goes on.
        others: Other flags: each is refused, and names what differs.
        refused_as: How that begins.
    """
    questions, out = folder / "q.txt", folder / "out.jsonl"
    questions.write_text(f"{question}\n")
    command = ["batch", str(questions), "-o", str(out), "--index", str(index)]
    refused = invoke(*command, *nothing)
    assert isinstance(refused.exception, UsageError)
    assert not out.exists()
    assert invoke(*command, *given).exit_code == 0
    row = json.loads(out.read_text())
    assert invoke(*command, *again).exit_code == 0, "the same, said otherwise"
    for other in others:
        refused = invoke(*command, *other)
        assert isinstance(refused.exception, UsageError)
        assert refused_as in refused.exception.message
    return row
