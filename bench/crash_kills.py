"""What kills or starves a run on its way: bench/crash.py runs these."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

from bench.crash_states import KILLED, Bench, State, apart, index, ticking

CALLS = ("fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat", "unlink",
         "unlinkat", "ftruncate", "pwrite64", "write", "mkdir")  # fmt: skip
Outcomes = Generator[str, None, None]


def _killed_at(bench: Bench, number: int) -> State:
    """Index in a process that is killed at its n-th step; 0 counts the steps."""

    def work() -> State:
        count = 0

        def tick(_: str) -> None:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        ticking(tick)
        return {**index(bench.live, bench.index), "steps": count}

    return apart(work)


def points(bench: Bench) -> Outcomes:
    """Killed before every SQL statement, sync, rename and removal of a run."""
    for start in bench.starts:
        bench.restore(start)
        steps = _killed_at(bench, 0)["steps"]
        for number in range(1, steps + 1, max(1, steps // 6) if bench.quick else 1):
            bench.restore(start)
            if _killed_at(bench, number) is KILLED:
                yield f"from {start}: {bench.after(start)}"


def _traced(bench: Bench, trace: Path, *inject: str) -> bool:
    """Index in a process under strace; whether it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.close(writer)
            os.read(reader, 1)
            index(bench.live, bench.index)
        os._exit(0)
    os.close(reader)
    command = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={','.join(CALLS)}"]
    with subprocess.Popen([*command, *inject, "-p", str(child)], stderr=subprocess.PIPE) as tracer:
        status = Path(f"/proc/{child}/status")
        while tracer.poll() is None and "TracerPid:\t0\n" in status.read_text():
            time.sleep(0.001)
        os.close(writer)  # it may go
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        tracer.communicate()
    calls = [line for line in trace.read_text().splitlines() if line.startswith(f"{child} ")]
    trace.write_text("\n".join(calls))
    return killed


def calls(bench: Bench) -> Outcomes:
    """Killed at every system call that writes, syncs, renames, removes or cuts off (strace)."""
    if not shutil.which("strace"):
        return
    trace = bench.folder / "trace"
    for start in bench.starts:
        bench.restore(start)
        _traced(bench, trace)
        counts = Counter(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
        for call, count in counts.items():
            for number in range(1, count + 1, max(1, count // 3) if bench.quick else 1):
                bench.restore(start)
                if _traced(bench, trace, "-e", f"inject={call}:signal=KILL:when={number}"):
                    yield f"{call}, from {start}: {bench.after(start)}"


def kills(bench: Bench) -> Outcomes:
    """Killed at random moments."""
    draw = random.Random(0)
    done = 0
    life: dict[str, float] = {}
    for start in bench.starts:
        bench.restore(start)
        began = time.monotonic()
        bench.expect(bench.run())
        life[start] = time.monotonic() - began
    while done < (6 if bench.quick else 200):
        start = bench.starts[done % len(bench.starts)]
        bench.restore(start)
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                index(bench.live, bench.index)
            os._exit(0)
        time.sleep(draw.random() * life[start])
        os.kill(child, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            done += 1
            yield f"from {start}: {bench.after(start)}"


def disk(bench: Bench) -> Outcomes:
    """A disk that is full after so many bytes more, each page of 4 kB from none to enough."""
    mount = bench.folder / "disk"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mount],
                          capture_output=True, check=False)  # fmt: skip
    if made.returncode:
        return
    kept, bench.index = bench.index, mount / "index"

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", mount], check=True)

    try:
        for start in bench.starts:
            for free in range(0, 1 << 26, 4096 * (20 if bench.quick else 1)):
                resize(1 << 26)
                bench.restore(start)
                about = os.statvfs(mount)
                resize((about.f_blocks - about.f_bfree) * about.f_frsize + free or 4096)
                said = bench.run()
                if said.get("error") not in (None, "resources"):
                    yield f"WRONG ERROR: {said}"
                there = bench.seen() if start == "before" else {}  # while it is full
                if "damaged" in there.get("message", ""):
                    yield f"CALLED DAMAGED: {there}"
                resize(1 << 26)
                outcome = bench.after(start)
                how = "full" if "error" in said else "enough"
                read = ", not read meanwhile" if "error" in there else ""
                yield f"from {start}: {how}{read}: {outcome}"
                if "error" not in said:
                    break
    finally:
        bench.index = kept
        subprocess.run(["umount", mount], check=False)
