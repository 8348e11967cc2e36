"""What damages the files of an index: bench/crash.py runs these."""

from __future__ import annotations

import random
import shutil
from collections.abc import Generator

from bench.crash_states import LOG, Bench, apart, index, lay_out, texts
from rag.storage.database import DATABASE, LOCK
from rag.storage.dense import FILE

Outcomes = Generator[str, None, None]
# How often each file is hit; the log is that of an index whose last transaction is still in it.
_SHARES = (DATABASE,) * 6 + (FILE,) * 2 + (LOG, LOCK)


def flips(bench: Bench) -> Outcomes:
    """One flipped bit, anywhere in any file."""
    draw = random.Random(1)
    for number in range(20 if bench.quick else 300):
        name = _SHARES[number % len(_SHARES)]
        bench.restore("logged" if name == LOG else "after")
        file = bench.index / name
        data = bytearray(file.read_bytes() or b"4242")  # a killed run leaves its process id
        at = draw.randrange(len(data))
        data[at] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
        yield f"{name}: {bench.after_damage(older=name == LOG)}"


def tails(bench: Bench) -> Outcomes:
    """The end of a file zeroed, or cut off."""
    for name in (DATABASE, FILE, LOG):
        for percent in range(5, 100, 45 if bench.quick else 5):
            for cut in (False, True):
                bench.restore("logged" if name == LOG else "after")
                data = (bench.index / name).read_bytes()
                keep = len(data) * percent // 100
                (bench.index / name).write_bytes(
                    data[:keep] + (b"" if cut else bytes(len(data) - keep))
                )
                yield f"{name}: {bench.after_damage(older=name == LOG)}"


def files(bench: Bench) -> Outcomes:
    """A file missing, or of another generation or another index."""
    other = bench.saved("other")
    lay_out(bench.live, texts(1))
    bench.expect(apart(lambda: index(bench.live, other)))
    lay_out(bench.live, texts(2))
    for start in ("after", "logged"):
        names = (
            (DATABASE, FILE, LOCK) if start == "after" else (DATABASE, FILE, LOG, f"{DATABASE}-shm")
        )
        for name in names:
            bench.restore(start)
            (bench.index / name).unlink()
            yield f"{name} missing: {bench.after_damage(older=start == 'logged')}"
    for name in ("before", "logged", "other", "after"):
        for file in (DATABASE, FILE, LOG):
            for start in ("before", "logged", "after"):
                if start == name or not (bench.saved(name) / file).exists():
                    continue
                bench.restore(start)
                shutil.copy(bench.saved(name) / file, bench.index)
                yield f"{file} of {name} in {start}: {bench.after_damage(older=True)}"
