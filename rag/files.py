"""Files that are there whole or not at all, lines too, and held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rag.errors import OutOfResources, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_SUFFIX_BYTES = 4
_WAIT = 0.5  # seconds
_DAY = 86_400
_SHOWN = 40  # characters of a name that is none


def named(text: str) -> str:
    """The name of a file or folder that the user gave, if there can be one of that name.

    ``~`` is the user's home, also where no shell saw it: in a settings file, behind ``--index=``.
    Whether it is there, and may be read, is for who opens it to say.

    Raises:
        UsageError: It is empty, too long, or holds a NUL.
    """
    if not text.strip():
        raise UsageError(
            "the name of a file or folder is empty", hint="name it; the current folder is . (a dot)"
        )
    try:
        os.lstat(text)
    except ValueError as error:
        raise UsageError(
            f"no file can be called {_short(text)!r}", hint="name it without control characters"
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{_short(text)} is too long a name for a file ({len(text):,} characters)",
                hint="give a shorter one",
            ) from error
    return os.path.expanduser(text)  # Path.expanduser raises where there is no such user  # noqa: PTH111


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def replace_file(file: Path, data: bytes | Iterable[bytes]) -> None:
    """Put a file in place whole or not at all: write, fsync, rename, fsync the folder.

    Args:
        file: What is replaced, if it is there.
        data: Its new bytes, at once or in parts.

    Raises:
        OutOfResources: The disk is full; the old file is untouched.
        UsageError: The file cannot be written for another reason; the old one is untouched.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(_SUFFIX_BYTES)}.tmp")
    try:
        try:
            with temporary.open("xb") as stream:
                for part in [data] if isinstance(data, bytes) else data:
                    stream.write(part)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
            sync(file.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        what = f"{file} cannot be written: {error.strerror}"
        if error.errno in _FULL:
            raise OutOfResources(what, hint="free some space and run again") from error
        raise UsageError(what, hint="choose a folder that you may write to") from error


def remove_left_over(file: Path) -> None:
    """Remove what killed runs of ``replace_file`` left beside a file that nobody writes now."""
    digits = "[0-9a-f]" * 2 * _SUFFIX_BYTES
    for left in file.parent.glob(f".{glob.escape(file.name)}.{digits}.tmp"):
        left.unlink(missing_ok=True)


def append(file: int, line: bytes, *, synced: bool) -> None:
    """Write a line to the end of an open file, whole or not at all.

    Args:
        file: Open to write, at its end.
        line: Its bytes.
        synced: Wait until it would survive a loss of power.

    Raises:
        OSError: It could not be written; the file is as long as it was.
    """
    size = os.fstat(file).st_size
    try:
        left = memoryview(line)
        while left:
            left = left[os.write(file, left) :]
        if synced:
            os.fsync(file)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


def begins(torn: bytes, head: bytes) -> bool:
    """Whether a line without an end is the beginning of one that begins so.

    A file system may have made room for a line, as zeros, before power was lost.
    """
    torn = torn.rstrip(b"\x00")
    return head.startswith(torn) or torn.startswith(head)


def hold(file: int, *, shared: bool = False) -> bool:
    """Lock an open file for this process, until it is closed; False where another has it.

    With ``shared`` others may have it so too: enough for who only wants to know.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def held_by(file: int, read_pid: Callable[[], str], *, shared: bool = False) -> str:
    """Lock an open file, or tell who has it, and since when: "" where this process has it now.

    Who takes a lock says who it is an instant later, and who only looks at something does not say
    it at all and is soon done: for half a second both are waited for.

    Args:
        file: Open.
        read_pid: What the holder has written by now, which may be nothing or that of one before it.
        shared: As for ``hold``.
    """
    until = time.monotonic() + _WAIT
    while not hold(file, shared=shared):
        if _runs(pid := read_pid()):
            return f"process {pid} (since {_clock(os.fstat(file).st_mtime)})"
        if time.monotonic() > until:
            return "another process"
        time.sleep(0.005)
    return ""


def _clock(then: float) -> str:
    """When that was, with its date where it is not within a day."""
    form = "%H:%M" if time.time() - then < _DAY else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(then))


def _runs(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except PermissionError:  # somebody else's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
