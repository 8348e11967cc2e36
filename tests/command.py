"""The real command line, in a process of its own or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from rag.cli import app

ROOT = Path(__file__).parents[1]
QUIET = ("-W", "ignore::ResourceWarning")  # llama_cpp leaves /dev/null open when it is imported
NO_WEIGHTS = {"RAG_EMBEDDER": "hash", "RAG_LLM": "extractive", "RAG_OFFLINE": "1"}


def environment(**more: str) -> dict[str, str]:
    """This process's, without models, and with the checkout on the path."""
    return {**os.environ, **NO_WEIGHTS, "PYTHONPATH": str(ROOT), **more}


def run(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """``python -m rag`` with these arguments."""
    command = [sys.executable, "-W", "error", *QUIET, "-m", "rag", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(**env), capture_output=True, text=True, timeout=60,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def invoke(*arguments: str, **env: str) -> Any:
    """The same in this process; an error is the result's ``exception``."""
    return CliRunner().invoke(app, list(arguments), env={**NO_WEIGHTS, **env})
