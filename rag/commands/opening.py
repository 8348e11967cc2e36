"""Settings to an open Engine: models found or fetched, index checked, all loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from rag import __version__
from rag.answering import Engine
from rag.answers.claims import Limits
from rag.answers.compose import prompts_digest
from rag.backends import models
from rag.config import Settings
from rag.documents.ocr import find_model
from rag.documents.sandbox import ParseLimits
from rag.errors import IndexUnusable, ModelUnusable
from rag.records import Embedder, Generator
from rag.retrieval.scope import EVERYTHING, Scope, scope_of
from rag.storage.dense import open_dense
from rag.storage.store import Store, open_index


@dataclass(frozen=True, slots=True)
class Consent:
    """How a missing model is dealt with.

    Attributes:
        may_fetch: Asked with the model's name and bytes before anything is downloaded.
        progress: Called with (label, bytes done, bytes in all).
        say: Called with one line for each step that failed.
    """

    may_fetch: Callable[[str, int], bool]
    progress: models.Progress
    say: Callable[[str], None]


def embedder_name(settings: Settings) -> str:
    """What an index made with these settings is stamped with."""
    from rag.backends.embed import folder_name

    name = settings.embedder
    folder = Path(name)
    return folder_name(folder) if folder.is_dir() else name.lower()


def model_path(settings: Settings, kind: models.Kind, consent: Consent) -> Path:
    """Where a model lies, fetched first if it is missing and that is allowed.

    Raises:
        ModelUnusable: It is missing or its bytes are wrong.
    """
    name = settings.llm if kind == "llm" else settings.embedder
    if name in ("hash", "extractive"):
        return Path()
    folder = models.models_folder(settings.models)
    try:
        return models.locate(name, folder=folder, kind=kind)
    except ModelUnusable:
        known = models.CATALOGUE.get(name.lower())
        if known is None or settings.offline:
            raise
        if all((folder / known.name / file.name).exists() for file in known.files):
            raise  # it is there, and its bytes are wrong: that is for the user to decide
        if not consent.may_fetch(known.name, sum(file.size for file in known.files)):
            raise
    from rag.backends import fetch

    fetch.pull(name, folder=folder, progress=consent.progress, say=consent.say)
    return models.locate(name, folder=folder, kind=kind)


def parse_limits(settings: Settings) -> ParseLimits:
    """What parsing one file may take.

    Raises:
        ModelUnusable: Text is to be recognised, and what that needs is not installed.
    """
    model = None
    if settings.ocr:
        model = find_model(settings.ocr_languages, page_seconds=settings.ocr_page_seconds)
    return ParseLimits(
        memory_mb=settings.parse_memory_mb,
        cpu_seconds=settings.parse_cpu_seconds,
        wall_seconds=settings.parse_wall_seconds,
        expanded_mb=settings.max_expanded_mb,
        max_chars=int(settings.max_file_mb * 1e6),
        json_field=settings.json_text_field,
        ocr=model,
    )


def load_embedder(settings: Settings, consent: Consent) -> Embedder:
    """Open the embedder of the settings."""
    from rag.backends.embed import open_embedder

    return open_embedder(embedder_name(settings), model_path(settings, "embedder", consent))


def load_generator(settings: Settings, consent: Consent) -> Generator:
    """Open the language model of the settings."""
    from rag.backends.generate import open_generator

    path = model_path(settings, "llm", consent)
    name = path.stem if path.name else settings.llm
    folder = models.models_folder(settings.models)
    return open_generator(
        name,
        path,
        context_tokens=settings.context_tokens,
        threads=settings.threads,
        prefixes=folder / ".prefixes",
    )


def llm_name(settings: Settings) -> str:
    """What the language model is known by; a file of the user's own by its size too."""
    own = Path(settings.llm)
    known = models.CATALOGUE.get(settings.llm.lower())
    if known is None and own.is_file():
        return f"{own.stem} ({own.stat().st_size} bytes)"
    return known.name if known else settings.llm


def fingerprint(
    settings: Settings, store: Store, *, scope: Scope = EVERYTHING
) -> dict[str, object]:
    """Everything that changes answers, as plain JSON: with another one they are others.

    A model is known by its name; a GGUF file of the user's own by its name and size too.
    ``scope`` is what the questions are restricted to.
    """
    chosen = ("passages", "evidence", "context_tokens", "max_answer_tokens", "max_claims",
              "answer_threshold", "support_threshold")  # fmt: skip
    return {
        "version": __version__,
        "prompts": prompts_digest(),
        "embedder": embedder_name(settings),
        "llm": llm_name(settings),
        **{name: getattr(settings, name) for name in chosen},
        "index": store.meta("identity"),
        "index_generation": store.generation,
        **({"docs": list(scope.globs)} if scope.globs else {}),
        **({"where": list(scope.where)} if scope.where else {}),
    }


def open_engine(
    settings: Settings,
    consent: Consent,
    *,
    generate: bool = True,
    store: Store | None = None,
    docs: Sequence[str] = (),
    where: Sequence[str] = (),
) -> Engine:
    """Open everything that answering needs.

    Args:
        settings: All of them.
        consent: For models that are missing.
        generate: False opens no language model: retrieval only.
        store: The index where it is open already, so that its generation is the one answered from.
        docs: Globs of the only documents to answer from; none means all.
        where: Conditions that they meet as well.

    Raises:
        UsageError: A glob matches no document, or a condition is none or met by no document.
        IndexUnusable: No index, or one made with another embedder.
        ModelUnusable: A model is missing, or its bytes are wrong.
    """
    store = store or open_index(Path(settings.index))
    check_embedder(store, embedder_name(settings))
    scope = scope_of(docs, store.documents(), where=where)
    settings_ = settings if generate else replace(settings, llm="extractive")
    # Models are located one after the other (they may ask), then loaded side by side.
    model_path(settings_, "embedder", consent)
    model_path(settings_, "llm", consent)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load_generator, settings_, consent)
        embedder = load_embedder(settings_, consent)
        generator = loading.result()
    return Engine(
        store=store,
        dense=open_dense(store),
        embedder=embedder,
        generator=generator,
        limits=Limits(
            passages=settings.passages,
            evidence=settings.evidence,
            max_answer_tokens=settings.max_answer_tokens,
            max_claims=settings.max_claims,
            answer_threshold=settings.answer_threshold,
            support_threshold=settings.support_threshold,
        ),
        scope=scope,
    )


def check_embedder(store: Store, name: str) -> None:
    """Refuse an index whose vectors another embedder made.

    Raises:
        IndexUnusable: With the command that mends it.
    """
    made_with = store.meta("embedder")
    if made_with != name:
        raise IndexUnusable(
            f"the index in {store.folder} was made with the embedder {made_with}, not {name}",
            hint=f"embed it again: rag index, or use the other: RAG_EMBEDDER={made_with}",
        )
