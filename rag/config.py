"""Settings, and where each came from: defaults < ``rag.toml`` < ``RAG_*`` < flags.

A setting that nobody knows is refused, with the layer that holds it; so is one out of bounds.
Only the two stories and the command line unpack ``Settings``; stages take plain arguments.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rag.errors import UsageError
from rag.files import named

CONFIG_FILE = "rag.toml"
_ENV_PREFIX = "RAG_"
# Secrets are no settings, because those stand in files and reports: whoever needs one reads it.
JUDGE_KEY = "RAG_JUDGE_KEY"
_SECRETS = frozenset({JUDGE_KEY})
_NAMES = frozenset({"corpus", "index", "models", "embedder", "llm"})  # of files, or maybe so


def _bounded(default: Any, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a user can choose.

    Attributes:
        corpus: Folder (or file) that ``rag index`` reads when none is named.
        index: Folder of the index.
        models: Folder of the models; "" means a per-user cache.
        embedder: Catalogue name, sentence-transformers folder, hub name, or ``hash``.
        llm: Catalogue name, GGUF file, or ``extractive``.
        offline: Never fetch anything.
        threads: Threads of the language model; 0 means one a core.
        context_tokens: Context of the language model.
        passages: Passages retrieved for a question.
        evidence: Most evidence sentences shown to the model.
        max_answer_tokens: Longest answer.
        max_claims: Most sentences in an answer.
        answer_threshold: Least probability that the documents answer, below which they are
            said not to.
        support_threshold: Least support at which a claim is shown.
        max_file_mb: Larger files, and longer texts, are skipped, in units of 10**6 bytes.
        max_expanded_mb: What a zip-based format may expand to, in units of 10**6 bytes.
        parse_memory_mb: Address space for parsing a file, in units of 10**6 bytes.
        parse_cpu_seconds: Processor time for parsing a file.
        parse_wall_seconds: Time on the clock for parsing a file.
        json_text_field: The field of JSON objects that holds their text.
        ocr: Recognise the text of scanned pages (extra: ocr).
        ocr_languages: What they are written in, as Tesseract names it, joined by ``+``.
        ocr_page_seconds: Time on the clock for recognising a page.
    """

    corpus: str = "seeds"
    index: str = "index"
    models: str = ""
    embedder: str = "all-minilm-l6-v2"
    llm: str = "qwen2.5-coder-1.5b-instruct-q4_k_m"
    offline: bool = False
    threads: int = _bounded(0, 0, 256)
    context_tokens: int = _bounded(4096, 512, 131072)
    passages: int = _bounded(12, 1, 200)
    evidence: int = _bounded(5, 1, 50)
    max_answer_tokens: int = _bounded(120, 8, 2048)
    max_claims: int = _bounded(3, 1, 20)
    answer_threshold: float = _bounded(0.55, 0.0, 1.0)
    support_threshold: float = _bounded(0.5, 0.0, 1.0)
    max_file_mb: float = _bounded(50.0, 0.001, 100000.0)
    max_expanded_mb: int = _bounded(500, 1, 100000)
    parse_memory_mb: int = _bounded(1024, 256, 1000000)
    parse_cpu_seconds: int = _bounded(60, 1, 86400)
    parse_wall_seconds: int = _bounded(240, 1, 86400)
    json_text_field: str = "text"
    ocr: bool = False
    ocr_languages: str = "eng"
    ocr_page_seconds: int = _bounded(120, 1, 3600)


def load(
    *,
    config_file: Path | None = None,
    new: bool = False,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Merge the layers.

    Args:
        config_file: A file the user named; None means ``rag.toml`` if there is one.
        new: Whether the named file may be missing, because it is to be written.
        environment: Variables to read; None means the process's own.
        flags: Settings from the command line; None values are not set.

    Raises:
        UsageError: An unknown setting or a value that does not fit, naming the layer.
    """
    environment = os.environ if environment is None else environment
    layers = [
        (
            str(config_file or CONFIG_FILE),
            _from_file(config_file, new=new),
        ),
        (
            "environment",
            {
                name[len(_ENV_PREFIX) :].lower(): value
                for name, value in environment.items()
                if name.startswith(_ENV_PREFIX) and name not in _SECRETS
            },
        ),
        ("command line", {k: v for k, v in (flags or {}).items() if v is not None}),
    ]
    known = {spec.name: spec for spec in fields(Settings)}
    values: dict[str, Any] = {}
    for layer, found in layers:
        for name, raw in found.items():
            if name not in known:
                raise UsageError(
                    f"unknown setting {_spelled(name, layer)} in {layer}",
                    hint="known settings: " + ", ".join(sorted(known)),
                )
            values[name] = _convert(raw, known[name], layer)
    return Settings(**values)


def _spelled(name: str, layer: str) -> str:
    return f"{_ENV_PREFIX}{name.upper()}" if layer == "environment" else name


def _from_file(config_file: Path | None, *, new: bool) -> dict[str, Any]:
    path = config_file or Path(CONFIG_FILE)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if config_file is None or new:
            return {}
        raise UsageError(
            f"no configuration file {path}", hint="name an existing --config FILE"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", hint="it must be a TOML file of settings"
        ) from error


def _convert(raw: Any, spec: Any, layer: str) -> Any:
    """Turn a layer's value into the setting's type, checked against its bounds."""
    kind = {"str": str, "bool": bool, "int": int, "float": float}[spec.type]
    name = _spelled(spec.name, layer)
    value: Any = raw
    if kind is bool and isinstance(raw, str):
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        value = words.get(raw.strip().lower(), raw)
    elif kind in (int, float) and isinstance(raw, (str, int, float)) and not isinstance(raw, bool):
        try:
            value = kind(raw) if not (kind is int and isinstance(raw, float)) else raw
        except (ValueError, OverflowError):
            value = raw
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise UsageError(
            f"{name} in {layer} must be {_KIND_WORDS[kind]}, not {raw!r}",
            hint=f"the default is {spec.default!r}",
        )
    if isinstance(value, str):
        if spec.default and not value.strip():
            raise UsageError(f"{name} in {layer} is empty", hint=f"the default is {spec.default!r}")
        if value and spec.name in _NAMES:
            value = named(value)
    low, high = spec.metadata.get("low"), spec.metadata.get("high")
    if low is not None and not low <= value <= high:
        raise UsageError(
            f"{name} in {layer} is {value}, outside {low} to {high}",
            hint=f"the default is {spec.default!r}",
        )
    return value


_KIND_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
