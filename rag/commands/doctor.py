"""Is this machine ready, is the index sound, and if not, what to do."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rag.backends import models
from rag.backends.generate import cores
from rag.commands.opening import check_embedder, embedder_name
from rag.config import Settings
from rag.errors import IndexBusy, IndexUnusable, ModelUnusable, RagError
from rag.records import READ_BY_OCR
from rag.storage.database import unreadable
from rag.storage.similar import near
from rag.storage.soundness import LARGE, SMALL, problems, size, word_problems
from rag.storage.store import Store, open_index
from rag.storage.writing import locked

_NEEDED_MB = 700  # beside the model's own file: context, embedder, program
# Run in a process of its own: a build for another CPU, or AMX that a virtual machine only
# advertises, kills the process that decodes its first token.
_TRIAL = """
import sys
from pathlib import Path
from rag.backends.generate import LlamaGenerator, cpu_features
from rag.records import Prompt
print("features", cpu_features())
if sys.argv[1:]:
    generator = LlamaGenerator("trial", Path(sys.argv[1]), context_tokens=512)
    tokens = tuple(generator.tokenize("The capital of France is", special=False))
    generator.read(Prompt((tokens,), "", ()))
    print("decoded", next(generator.sentences("", max_tokens=4, limit=1), ""))
"""


@dataclass(frozen=True, slots=True)
class IndexState:
    """What ``rag status`` reports.

    Attributes:
        folder: Of the index.
        generation: Counts its published states.
        counts: Documents, passages and sentences; a text that stands in several files is one.
        bytes: Of all its files.
        models: Its embedder, and the language model of the settings.
        sound: Nothing is wrong.
        problems: What is wrong.
        checked: What was looked at.
        written: When it was last written, UTC.
        copies: Files that hold a text that stands in another already.
        near_duplicates: Two paths and the share of sentences they have in common.
        recognised: Documents with pages whose text was recognised (OCR).
    """

    folder: str
    generation: int
    counts: dict[str, int]
    bytes: int
    models: dict[str, str]
    sound: bool
    problems: tuple[str, ...]
    checked: str = ""
    written: str = ""
    copies: int = 0
    near_duplicates: tuple[tuple[str, str, float], ...] = ()
    recognised: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of ``rag doctor``."""

    name: str
    ok: bool
    what: str
    hint: str = ""
    exit_code: int = 1


def _recognised(store: Store) -> int:
    rows = store.rows(
        "SELECT count(DISTINCT document_id) FROM places JOIN documents ON id = document_id"
        " WHERE live AND page IS NOT NULL AND substr(label, -length(?1)) = ?1",
        READ_BY_OCR,
    )
    return int(rows[0][0])


def index_status(settings: Settings, *, check: bool = False) -> IndexState:
    """Look at the index without changing it; at every row of a large one only with ``check``.

    Raises:
        IndexUnusable: There is none, or it cannot be opened.
    """
    folder = Path(settings.index)
    with contextlib.closing(open_index(folder)) as store:
        thorough = check or size(store) < SMALL
        found = problems(store, thorough=thorough, words=False)
        left_out = ""
        if thorough and not found:
            try:
                with locked(folder, writes=False):
                    found += word_problems(store)
            except (IndexBusy, IndexUnusable):
                left_out = " but the search by words: the index is being written, or cannot be"
        names = {document.id: document.path for document in store.documents()}
        counts = store.counts()
        return IndexState(
            folder=str(folder),
            generation=store.generation,
            counts=counts,
            bytes=_bytes(folder),
            models={"embedder": store.meta("embedder"), "llm": settings.llm},
            sound=not found,
            problems=tuple(found),
            checked=f"every row{left_out}" if thorough else _left_unchecked(store),
            written=store.meta("written"),
            copies=len(store.files()) - counts["documents"],
            recognised=_recognised(store),
            near_duplicates=tuple(
                (names[one], names[other], alike)
                for one, other, alike in near(store)
                if one in names and other in names
            ),
        )


def _bytes(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise unreadable(folder, error.strerror) from error


def _left_unchecked(store: Store) -> str:
    looked = "the structure" if size(store) < LARGE else "the facts and the FAISS files"
    return f"{looked}; every row: rag status --check"


def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order in which things must be mended."""
    findings = [_python(), _memory(settings)]
    llm = None
    for kind in ("embedder", "llm"):
        finding, path = _model(settings, kind)
        findings.append(finding)
        llm = path if kind == "llm" else llm
    findings.insert(1, _cpu(llm))
    findings.append(_index(settings))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("python", ok, version, "" if ok else "use Python 3.11 to 3.13: make install")


def _cpu(llm: Path | None) -> Finding:
    command = [sys.executable, "-c", _TRIAL, *([str(llm)] if llm else [])]
    try:
        trial = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("cpu", False, f"llama.cpp could not be tried: {error}", "make install")
    found = re.search(r"^features (.*)$", trial.stdout, re.MULTILINE)
    features = found.group(1) if found else "unknown"
    if trial.returncode:
        died = f"died with signal {-trial.returncode}" if trial.returncode < 0 else "failed"
        return Finding(
            "cpu", False, f"llama.cpp {died} when it was tried (compiled in: {features})",
            "compile it for this CPU: rm -rf .venv ~/.cache/rag/wheels && make install",
        )  # fmt: skip
    return Finding("cpu", True, f"{cores()} cores; llama.cpp compiled with {features}")


def _memory(settings: Settings) -> Finding:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return Finding("memory", True, "unknown on this system")
    free = int(re.search(r"MemAvailable:\s+(\d+)", text)[1]) // 1024  # type: ignore[index]
    known = models.CATALOGUE.get(settings.llm.lower())
    need = _NEEDED_MB + (sum(f.size for f in known.files) // 2**20 if known else 0)
    return Finding(
        "memory", free >= need, f"{free:,} MiB free, about {need:,} needed",
        "" if free >= need else "close other programs, or set a smaller llm", 7,
    )  # fmt: skip


def _model(settings: Settings, kind: models.Kind) -> tuple[Finding, Path | None]:
    name = settings.llm if kind == "llm" else settings.embedder
    if name in ("hash", "extractive"):
        return Finding(kind, True, f"{name} (no weights)"), None
    folder = models.models_folder(settings.models)
    try:
        path = models.locate(name, folder=folder, kind=kind)
    except ModelUnusable as error:
        return Finding(kind, False, error.message, error.hint, error.exit_code), None
    return Finding(kind, True, f"{name}: {path}"), path


def _index(settings: Settings) -> Finding:
    try:
        state = index_status(settings)
        store: Store = open_index(Path(settings.index))
        check_embedder(store, embedder_name(settings))
        store.close()
    except RagError as error:
        return Finding("index", False, error.message, error.hint, error.exit_code)
    counts = f"{state.counts['documents']} documents, {state.counts['passages']} passages"
    if not state.sound:
        return Finding(
            "index", False, "; ".join(state.problems), "rag index --check", IndexUnusable.exit_code
        )
    return Finding("index", True, f"generation {state.generation}, {counts}, sound")
