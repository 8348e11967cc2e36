"""Shared fixtures: a home of its own for every test, and an index of the seeds without weights."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.backends.embed import HashEmbedder
from rag.backends.models import models_folder
from rag.documents.find import Source
from rag.documents.read import Raw, convert, load
from rag.documents.sandbox import ParseLimits, Sandbox
from rag.indexing import IndexReport, build_index
from rag.records import Document, Skipped

# A shell that starts the suite in the background makes it, and all that it starts, deaf to Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SEEDS = Path(__file__).parents[1] / "seeds"
# Where real models lie, before the home is redirected; tests marked ``models`` need them.
REAL_MODELS = models_folder(Path(os.environ["RAG_MODELS"]) if "RAG_MODELS" in os.environ else None)


def pytest_unconfigure() -> None:
    """Close what llama-cpp-python leaves open, which would end every run with four odd lines."""
    utils = sys.modules.get("llama_cpp._utils")
    if utils:
        utils.outnull_file.close()
        utils.errnull_file.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Redirect the home folder and drop every RAG_* variable."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in [n for n in os.environ if n.startswith("RAG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return folder


IndexBuilder = Callable[..., IndexReport]


@pytest.fixture
def build(tmp_path: Path) -> IndexBuilder:
    """Index folders with the embedder that needs no weights."""

    def run(*roots: Path, folder: Path | None = None, **options: object) -> IndexReport:
        return build_index(
            list(roots),
            folder=folder or tmp_path / "index",
            open_embedder=HashEmbedder,
            embedder_name="hash",
            max_bytes=int(options.pop("max_bytes", 50_000_000)),  # type: ignore[call-overload]
            **options,  # type: ignore[arg-type]
        )

    return run


@pytest.fixture
def seed_index(tmp_path: Path, build: IndexBuilder) -> Path:
    """An index of the five seed documents."""
    build(SEEDS)
    return tmp_path / "index"


@pytest.fixture(scope="session")
def shared_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the seeds that many tests read and none changes."""
    folder = tmp_path_factory.mktemp("shared") / "index"
    build_index(
        [SEEDS],
        folder=folder,
        open_embedder=HashEmbedder,
        embedder_name="hash",
        max_bytes=50_000_000,
    )
    return folder


def read_document(source: Source, *, max_bytes: int) -> Document | Skipped:
    """A file to a document in one step, as a run of ``rag index`` takes it."""
    with Sandbox(ParseLimits()) as sandbox:
        raw = load(source, max_bytes=max_bytes)
        return convert(raw, sandbox) if isinstance(raw, Raw) else raw
