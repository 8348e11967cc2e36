"""What a language model knows after the constant beginning of a prompt, kept on disk.

Reading the instructions and worked examples takes seconds on a CPU, and they are the same for every
question; their KV cells are a few megabytes. A file is checked before it is used, written whole or
not at all, and never needed: without it the beginning is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from rag.errors import RagError
from rag.files import replace_file

_SUFFIX = ".kv"
_MOST = 8  # files kept; the oldest goes first


def prefix_key(model: Path, tokens: list[int], *, runtime: str) -> str:
    """What the cells depend on: the model's file, the tokens, and what computes them.

    Args:
        model: The GGUF file; known by its size and time, hashing a gigabyte would take longer.
        tokens: What was read.
        runtime: Version and settings of the inference library.
    """
    stat = model.stat()
    facts = [model.name, stat.st_size, stat.st_mtime_ns, runtime, tokens]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def load_prefix(folder: Path, key: str) -> bytes | None:
    """The cells kept under a key; None where there are none, or their bytes have changed."""
    try:
        head, _, data = (folder / f"{key}{_SUFFIX}").read_bytes().partition(b"\n")
    except OSError:
        return None
    return data if head == hashlib.sha256(data).hexdigest().encode() else None


def save_prefix(folder: Path, key: str, data: bytes) -> None:
    """Keep cells under a key; where that cannot be done they are not kept."""
    with contextlib.suppress(OSError, RagError):
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(data).hexdigest().encode()
        replace_file(folder / f"{key}{_SUFFIX}", [digest, b"\n", data])
        kept = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
        for file in kept[:-_MOST]:
            file.unlink(missing_ok=True)
