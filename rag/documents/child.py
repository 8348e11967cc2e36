"""The process that parses untrusted files: it may read its own libraries and nothing else.

It takes requests from its standard input and answers on its standard output, each a length of
eight bytes and so much JSON; a request is followed by the bytes of the file. Before the answer it
may say which page it recognises.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import signal
import struct
import sys
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from rag.documents.converted import Picture, Recognise
    from rag.documents.ocr import Tesseract

LENGTH = struct.Struct(">Q")
PAGE = b"page "  # begins what is sent before the answer: which page is being recognised
_OUT_OF_MEMORY = b'{"memory": true}'
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache")
_REFUSED = frozenset(
    "socket.__new__ socket.connect socket.bind socket.getaddrinfo subprocess.Popen os.system"
    " os.exec os.posix_spawn os.fork os.forkpty os.remove os.rename os.rmdir os.mkdir os.link"
    " os.symlink os.truncate os.chmod os.kill".split()
)
_OPENING = frozenset(("open", "os.listdir", "os.scandir"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def serve(*, memory: int, cpu_seconds: int, folder: str = "") -> None:
    """Answer requests until there are no more.

    Args:
        memory: Bytes of address space.
        cpu_seconds: Processor time for each file; more of it ends the process (SIGXCPU).
        folder: One that may be read too: the data of text recognition.
    """
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    confine(memory=memory, folder=folder)
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        request = json.loads(requests.read(LENGTH.unpack(head)[0]))
        data = requests.read(request.pop("bytes"))
        _allow(cpu_seconds)
        ocr = request.pop("ocr")
        if ocr:
            request["recognise"] = _recogniser(answers, ocr, cpu_seconds)
        if not _answer(answers, data, request):
            return


def _allow(cpu_seconds: int) -> None:
    """Processor time from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime) + cpu_seconds
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = until if most == resource.RLIM_INFINITY else min(until, most)
    resource.setrlimit(resource.RLIMIT_CPU, (until, most))


def _recogniser(answers: BinaryIO, ocr: dict[str, Any], cpu_seconds: int) -> Recognise:
    """Reads pages, each with processor time of its own, and says which it begins."""

    def recognise(picture: Picture, page: int, pages: int) -> str:
        _send(answers, b"%s%d %d" % (PAGE, page, pages))
        _allow(cpu_seconds + 2 * int(ocr["page_seconds"]))  # it may be read twice
        return _tesseract(**ocr).read(picture)

    return recognise


@lru_cache(maxsize=1)
def _tesseract(**ocr: Any) -> Tesseract:
    from rag.documents.ocr import OcrModel, Tesseract

    return Tesseract(OcrModel(**ocr))


def _send(answers: BinaryIO, payload: bytes) -> None:
    answers.write(LENGTH.pack(len(payload)) + payload)
    answers.flush()


def _answer(answers: BinaryIO, data: bytes, request: dict[str, Any]) -> bool:
    """Parse a file; False where this process had better end."""
    try:
        from rag.documents.converted import Unreadable
        from rag.documents.parse import parse

        try:
            made = parse(data, **request)
            reply: dict[str, Any] = {
                "text": made.text,
                "places": [[p.start, p.label, p.page] for p in made.places],
                "about": asdict(made.about),
            }
        except Unreadable as error:
            reply = {"reason": str(error)}
        payload = json.dumps(reply, ensure_ascii=False).encode("utf-8", "replace")
    except MemoryError:
        payload = _OUT_OF_MEMORY
    _send(answers, payload)
    return payload != _OUT_OF_MEMORY


def confine(*, memory: int, folder: str = "") -> None:
    """Give up for good what parsing does not need: memory, files, network, other processes.

    Limits hold everywhere; Landlock (Linux 5.13) also binds code that is not Python's. The audit
    hook stops what Python itself would do where there is no Landlock.
    """
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):  # macOS knows no limit of the address space
            continue
    readable = [str(Path(__file__).parents[1]), *_LIBRARIES, *filter(None, [folder, *sys.path])]
    readable = [os.path.realpath(path) for path in readable if Path(path).exists()]
    if sys.platform == "linux":
        _landlock(readable)

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _REFUSED:
            raise PermissionError(f"{event} is not allowed here")
        if event in _OPENING and isinstance(arguments[0], str | bytes):
            file = os.path.realpath(os.fsdecode(arguments[0]))
            inside = any(file == path or file.startswith(f"{path}/") for path in readable)
            if not inside or (event == "open" and (arguments[2] or 0) & _WRITING):
                raise PermissionError(f"{file} is not allowed here")

    sys.addaudithook(refuse)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def _landlock(readable: list[str]) -> None:
    """Let the kernel refuse every file but those below some folders, and TCP; see landlock(7)."""
    create, add, restrict = 444, 445, 446  # system calls, the same on every architecture
    no_new_privileges, death_signal = 38, 1  # of prctl
    read_file, read_folder = 1 << 2, 1 << 3
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(death_signal, int(signal.SIGKILL), 0, 0, 0)
    version = libc.syscall(create, None, 0, 1)
    if version < 1:
        return
    rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    rules = _Ruleset((1 << rights) - 1, 3 if version >= 4 else 0)
    size = ctypes.sizeof(rules) if version >= 4 else 8
    ruleset = libc.syscall(create, ctypes.byref(rules), size, 0)
    if ruleset < 0:
        return
    for path in readable:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = read_file | (read_folder if Path(path).is_dir() else 0)
        rule = _Beneath(allowed, handle)
        libc.syscall(add, ruleset, 1, ctypes.byref(rule), 0)
        os.close(handle)
    libc.prctl(no_new_privileges, 1, 0, 0, 0)
    libc.syscall(restrict, ruleset, 0)
    os.close(ruleset)
