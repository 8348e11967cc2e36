"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from pathlib import Path

from rag.errors import OutOfResources, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def replace_file(file: Path, data: bytes) -> None:
    """Put a file in place whole or not at all: write, fsync, rename, fsync the folder.

    Raises:
        OutOfResources: The disk is full; the old file is untouched.
        UsageError: The file cannot be written for another reason; the old one is untouched.
    """
    temporary = file.parent / f".{file.name}.{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        what = f"{file} cannot be written: {error.strerror}"
        if error.errno in _FULL:
            raise OutOfResources(what, hint="free some space and run again") from error
        raise UsageError(what, hint="choose a folder that you may write to") from error
