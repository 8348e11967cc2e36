"""Tiny models, the wheels that hold them, a model hub and a pip to fetch them from."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rag.backends.models import HubSource, Model, ModelFile, WheelPiece

PIECE = 100_000
GGUF = b"GGUF" + random.Random(1).randbytes(8 * PIECE - 1000)
WEIGHTS = random.Random(2).randbytes(50_000)
EMBEDDER_FILES = {
    "modules.json": b"[]",
    "1_Pooling/config.json": b"{}",
    "model.safetensors": WEIGHTS,
}
PIECES = [GGUF[i : i + PIECE] for i in range(0, len(GGUF), PIECE)]


def pinned(name: str, data: bytes) -> ModelFile:
    """A file of the catalogue that holds the data."""
    return ModelFile(name, len(data), hashlib.sha256(data).hexdigest())


TINY_LLM = Model(
    name="tiny-llm",
    kind="llm",
    license="Apache-2.0",
    files=(pinned("tiny.gguf", GGUF),),
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
    files=tuple(pinned(name, data) for name, data in EMBEDDER_FILES.items()),
    wheels=tuple(
        tuple(
            WheelPiece(f"{package}==1.0", f"{package}/model/{name}", name, len(data))
            for name, data in EMBEDDER_FILES.items()
        )
        for package in ("first", "second")
    ),
)
TINY = {model.name: model for model in (TINY_LLM, TINY_EMBEDDER)}


def make_wheel(folder: Path, package: str, members: dict[str, bytes]) -> None:
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


def make_llm_wheels(index: Path, numbers: Iterable[int] = range(1, len(PIECES) + 1)) -> None:
    for n in numbers:
        make_wheel(index, f"tiny_part{n}", {f"tiny_part{n}/data.bin": PIECES[n - 1]})


def make_embedder_wheel(index: Path, package: str, **changed: bytes) -> None:
    data = {**EMBEDDER_FILES, **changed}
    make_wheel(index, package, {f"{package}/model/{n}": content for n, content in data.items()})


def with_hub(model: Model) -> dict[str, Model]:
    return {model.name: replace(model, hub=HubSource("org/tiny"))}


def llm_in(folder: Path) -> Path:
    """The tiny model as a pull leaves it."""
    path = folder / "tiny-llm" / "tiny.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(GGUF)
    return path


def flip_byte(path: Path, at: int = 100) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 1]))


# --- pip

_PIP = """
import os
import shutil
import sys
from pathlib import Path

def give_up(what):
    sys.exit(f"ERROR: {what}")

wanted = [argument for argument in sys.argv if "==" in argument]
with Path(__file__).with_name("calls").open("a") as calls:
    print(*wanted, file=calls)
wheels = []
for requirement in wanted:
    stem = requirement.replace("-", "_").replace("==", "-")
    wheel = Path(os.environ["PIP_FIND_LINKS"], f"{stem}-py3-none-any.whl")
    if not wheel.exists():
        give_up(f"No matching distribution found for {requirement}")
    if not wheel.stat().st_size:
        give_up(f"Wheel {requirement} is invalid.")
    wheels.append(wheel)
if len(wheels) > int(os.environ.get("DISK_HOLDS_WHEELS", "99")):
    give_up("Could not install packages due to an OSError: [Errno 28] No space left on device")
for wheel in wheels:
    shutil.copy(wheel, sys.argv[sys.argv.index("--dest") + 1])
"""


class QuickPip:
    """Does with a folder of wheels what pip does: all that was asked for or nothing.

    The real one takes seconds to start, so only the tests of what it does and says run it.
    """

    def __init__(self, folder: Path) -> None:
        self.python_path = folder
        self._package = folder / "pip"
        self._package.mkdir(parents=True)
        (self._package / "__init__.py").touch()
        (self._package / "__main__.py").write_text(_PIP)

    def calls(self) -> list[list[str]]:
        """The requirements of each call so far; those calls are then forgotten."""
        log = self._package / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.split() for line in lines]


# --- the hub


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


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on the loopback interface; the client is the real one."""

    class Handler(_HubHandler):
        pass

    server = _HubServer(("127.0.0.1", 0), Handler)
    Handler.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Handler.hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
