"""Untrusted files are parsed in a process of their own, with limits; this side never parses.

One child serves many files, because starting it costs more than most of them, and is replaced when
it dies. Nothing comes back but JSON of a bounded length.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from rag.documents.child import LENGTH, PAGE
from rag.documents.converted import About, Converted
from rag.documents.ocr import OcrModel
from rag.records import Place
from rag.terminal import printable

_START = (
    "import sys; sys.path.insert(0, {root!r}); import rag.documents.child; sys.path.pop(0);"
    " sys.path += [path for path in {libraries!r} if path not in sys.path];"
    " rag.documents.child.serve(memory={memory}, cpu_seconds={cpu}, folder={folder!r})"
)
# Each thread of a library takes its share of the address space before anything is parsed.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"}
_MAX_LABEL = 500  # code points
_MAX_PAGE = 2**31
_NO_ANSWER = "its parser sent back no answer"
_PIPE = 1 << 16
_LAST_WORDS = 10  # seconds that a process that hung up has to end by itself


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What parsing one file may take.

    Attributes:
        memory_mb: Address space of the process, in units of 10**6 bytes.
        cpu_seconds: Processor time.
        wall_seconds: Time on the clock.
        expanded_mb: What a zip-based format may expand to, in units of 10**6 bytes.
        max_chars: Longest text.
        json_field: The field of JSON objects that holds their text.
        ocr: What pages without text are recognised with; None leaves them out. Each such page may
            take its time beside what the file may take.
    """

    memory_mb: int = 1024
    cpu_seconds: int = 60
    wall_seconds: int = 240
    expanded_mb: int = 500
    max_chars: int = 50_000_000
    json_field: str = "text"
    ocr: OcrModel | None = None


DEFAULT_LIMITS = ParseLimits()


class Sandbox:
    """A parser of untrusted files; a context that ends its process.

    Attributes:
        limits: What each file may take.
        on_page: Called with page and pages before one is recognised.
    """

    def __init__(
        self, limits: ParseLimits, on_page: Callable[[int, int], None] | None = None
    ) -> None:
        self.limits = limits
        self.on_page = on_page or (lambda *_: None)
        self._process: subprocess.Popen[bytes] | None = None
        self._served = 0

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def parse(self, data: bytes, format_: str) -> Converted | str:
        """Convert a file to text, or say why that cannot be done."""
        while True:
            used = self._served > 0
            reply = self._exchange(data, format_)
            if isinstance(reply, dict):
                return _checked(reply)
            # What an earlier file left behind in the process may be to blame: once more, afresh.
            if not used or reply.startswith("took"):
                return reply

    def _exchange(self, data: bytes, format_: str) -> dict[str, Any] | str:
        limits = self.limits
        request = json.dumps(
            {
                "bytes": len(data),
                "format_": format_,
                "max_chars": limits.max_chars,
                "max_expanded": limits.expanded_mb * 10**6,
                "json_field": limits.json_field,
                "ocr": asdict(limits.ocr) if limits.ocr else None,
            }
        ).encode()
        process = self._process or self._start()
        self._served += 1
        try:
            payload = _converse(
                process,
                [LENGTH.pack(len(request)), request, data],
                until=time.monotonic() + limits.wall_seconds,
                longest=8 * limits.max_chars + 10**6,
                told=self._told(),
            )
        except TimeoutError:
            self._end()
            return f"took more than {limits.wall_seconds} s to parse (parse_wall_seconds)"
        except (BrokenPipeError, EOFError):
            return self._autopsy()
        except ValueError:
            self._end()
            return "its parser sent back more than it may"
        try:
            reply = json.loads(payload)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            self._end()
            return _NO_ANSWER
        if reply.get("memory"):
            self._end()
            return f"needs more than {limits.memory_mb} MB of memory to parse (parse_memory_mb)"
        return reply

    def _told(self) -> Callable[[bytes], float]:
        """What reads messages that are no answer, and says how many seconds the next may take."""
        ocr, last = self.limits.ocr, 0

        def told(message: bytes) -> float:
            nonlocal last
            page, pages = map(int, message.removeprefix(PAGE).split())
            if ocr is None or not last < page <= pages <= _MAX_PAGE:
                raise ValueError(message)
            last = page
            self.on_page(page, pages)
            return self.limits.wall_seconds + 2 * ocr.page_seconds

        return told

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).resolve().parents[2])
        limits = self.limits
        start = _START.format(
            root=root, libraries=_libraries(), memory=limits.memory_mb * 10**6,
            cpu=limits.cpu_seconds, folder=limits.ocr.folder if limits.ocr else "",
        )  # fmt: skip
        kept = ("LD_LIBRARY_PATH", "PATH", "SYSTEMROOT")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", start],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
            env=_ONE_THREAD | {name: os.environ[name] for name in kept if name in os.environ},
            start_new_session=True,  # Ctrl-C is for this process; it ends the other
        )  # fmt: skip
        return self._process

    def _autopsy(self) -> str:
        """Why the process died of a file."""
        process, self._process, self._served = self._process, None, 0
        assert process is not None
        try:
            code = process.wait(timeout=_LAST_WORDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        _close(process)
        if code == -signal.SIGXCPU:
            return (
                f"took more than {self.limits.cpu_seconds} s of processor time to parse"
                " (parse_cpu_seconds)"
            )
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its parser died ({name}): a damaged file, or too little memory (parse_memory_mb)"

    def _end(self) -> None:
        process, self._process, self._served = self._process, None, 0
        if process is not None:
            process.kill()
            process.wait()
            _close(process)


def _libraries() -> list[str]:
    """Where installed libraries are: also for this user alone, or on PYTHONPATH.

    An isolated process does not look there, and no other folder is it to see.
    """
    return [path for path in sys.path if path and any(Path(path).glob("*.dist-info"))]


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _converse(
    process: subprocess.Popen[bytes],
    parts: list[bytes],
    *,
    until: float,
    longest: int,
    told: Callable[[bytes], float],
) -> bytes:
    """Send a request and take its answer, waiting for neither beyond a moment.

    Args:
        process: The other side.
        parts: The request.
        until: When it has to be answered, or a message to be there (``time.monotonic()``).
        longest: Bytes of an answer.
        told: Takes each message before it; returns the seconds within which more must come.

    Raises:
        TimeoutError: It took too long.
        BrokenPipeError: The other side is gone; EOFError says so too.
        ValueError: The answer is longer than it may be, or than it says, or a message is none.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    source, sink = process.stdout.fileno(), process.stdin.fileno()
    os.set_blocking(source, False)
    os.set_blocking(sink, False)
    unsent = [memoryview(part) for part in parts if part]
    answer = bytearray()
    wanted = LENGTH.size
    with selectors.DefaultSelector() as ready:
        ready.register(source, selectors.EVENT_READ)
        ready.register(sink, selectors.EVENT_WRITE)
        while len(answer) < wanted:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in ready.select(left):
                if key.fd == sink:
                    unsent[0] = unsent[0][os.write(sink, unsent[0][:_PIPE]) :]
                    if not unsent[0]:
                        del unsent[0]
                    if not unsent:
                        ready.unregister(sink)
                    continue
                part = os.read(source, 1 << 20)
                if not part:
                    raise EOFError
                answer += part
                while wanted <= len(answer):
                    wanted = LENGTH.size + LENGTH.unpack_from(answer)[0]
                    if wanted > longest:
                        raise ValueError
                    if len(answer) < wanted or not answer.startswith(PAGE, LENGTH.size):
                        break
                    until = time.monotonic() + told(bytes(answer[LENGTH.size : wanted]))
                    del answer[:wanted]
                    wanted = LENGTH.size
    if len(answer) > wanted:  # what is left over would be taken for the next answer
        raise ValueError
    return bytes(answer[LENGTH.size :])


def _checked(reply: dict[str, Any]) -> Converted | str:
    """The answer of a process that a hostile file may have taken over."""
    try:
        if reason := reply.get("reason"):
            return printable(str(reason)[:_MAX_LABEL]).strip() or _NO_ANSWER
        text, places, about = reply.get("text"), reply.get("places"), reply.get("about")
        if not isinstance(text, str) or not isinstance(places, list) or not isinstance(about, dict):
            return _NO_ANSWER
        text.encode()  # half of a surrogate pair is no text
        found = tuple(
            Place(int(start), _label(label), None if page is None else int(page))
            for start, label, page in places
        )
        names = [field.name for field in fields(About)]
        facts = {name: _label(" ".join(str(about.get(name, "")).split())) for name in names}
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _NO_ANSWER
    starts = [place.start for place in found]
    inside = not starts or (starts[0] >= 0 and starts[-1] < len(text))
    numbered = all(0 <= (place.page or 0) <= _MAX_PAGE for place in found)
    if not inside or not numbered or any(b <= a for a, b in pairwise(starts)):
        return "its parser sent back places that are not in its text"
    return Converted(text, found, About(**facts))


def _label(value: object) -> str:
    """A short text.

    Raises:
        ValueError: It is not Unicode.
    """
    label = str(value)[:_MAX_LABEL]
    label.encode()
    return label
