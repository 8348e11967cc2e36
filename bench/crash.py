"""What is done to an index, how often, and what comes out: the promise that nothing is lost.

    python -m bench.crash                  everything (make bench-crash)
    python -m bench.crash --quick          a few of each, as the tests run it
    python -m bench.crash --only kills     one experiment

An index of a few documents is brought from one state to the next, and killed, starved or damaged
on the way. Afterwards it must open at the old or the new state, whole; say so where it does not;
and be mended by the next run. Every run is a process of its own. No weights are needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

from bench.crash_damage import files, flips, tails
from bench.crash_kills import calls, disk, kills, points
from bench.crash_states import ROOT, STARTS, WORDS, Bench, State, apart, index, lay_out
from rag.errors import IndexBusy
from rag.storage.store import open_index


def writers(bench: Bench) -> Generator[str, None, None]:
    """Eight writers at once: one writes, the others are told who, within a second."""
    for _ in range(1 if bench.quick else 5):
        bench.restore("before")
        command = [sys.executable, "-m", "bench.crash", "--worker", str(bench.live),
                   str(bench.index)]  # fmt: skip
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(8)
        ]
        said = [json.loads(process.communicate()[0]) for process in running]
        pids = {str(process.pid) for process in running}
        for one in said:
            named = re.search(r"process (\d+) .*is writing", one.get("message", ""))
            if "error" not in one:
                yield "wrote, or found it written"
            elif one["error"] != IndexBusy.kind or not named or named[1] not in pids:
                yield f"WRONG: {one}"
            else:
                yield f"refused, naming the writer{'' if one['waited'] < 1 else ', LATE'}"
        outcome = bench.after_crash()
        if outcome != "the new state":
            yield outcome


def readers(bench: Bench) -> Generator[str, None, None]:
    """Four readers through twenty commits: each reads one state, whole."""
    commits = 5 if bench.quick else 20
    folder, docs = bench.folder / "index-read", bench.folder / "docs-read"

    def write(number: int) -> None:
        lay_out(docs, {f"{w}.txt": f"The {w} is in state {number}. {w}." for w in WORDS[:4]})
        bench.expect(apart(lambda: index(docs, folder)))

    def read() -> State:
        seen: list[int] = []
        reads = 0
        while not seen or seen[-1] < commits:
            with contextlib.closing(open_index(folder)) as store:
                stored = [store.text(document.id) for document in store.documents()]
                numbers = {int(n) for text in stored for n in re.findall(r"state (\d+)", text)}
                found = store.lexical_search(["state"], 10)
                if len(stored) != 4 or len(numbers) != 1 or len(found) != 4:
                    return {"error": "mixed", "message": str(stored)}
                if store.generation != max(numbers) or (seen and seen[-1] > max(numbers)):
                    return {"error": "generation", "message": str(seen)}
            seen.append(max(numbers))
            reads += 1
        return {"reads": reads}

    write(1)
    pids = []
    for _ in range(4):
        child = os.fork()
        if not child:
            state: State = {"error": "died", "message": ""}
            with contextlib.suppress(BaseException):
                state = read()
            (bench.folder / f"reader-{os.getpid()}").write_text(json.dumps(state))
            os._exit(0)
        pids.append(child)
    for number in range(2, commits + 1):
        write(number)
    for pid in pids:
        os.waitpid(pid, 0)
        state = json.loads((bench.folder / f"reader-{pid}").read_text())
        yield f"BROKEN: {state}" if "error" in state else "one state, whole, at every read"


EXPERIMENTS = {f.__name__: f for f in (calls, points, kills, disk, flips, tails, files, writers,
                                       readers)}  # fmt: skip


def bad(outcome: str) -> bool:
    """Whether the promise was broken: it is said in capitals."""
    return bool(re.search(r"(?:^|: )[A-Z]{4}|LATE", outcome))


def main() -> None:
    """Run the experiments, print what came out, and fail where the promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=EXPERIMENTS, action="append")
    parser.add_argument("--start", choices=STARTS, action="append", help="Of killed runs.")
    parser.add_argument("--seconds", type=float, default=1e9, help="Most for one experiment.")
    parser.add_argument("--worker", nargs=2, type=Path)
    chosen = parser.parse_args()
    if chosen.worker:
        began = time.monotonic()
        said = index(*chosen.worker)
        print(json.dumps({**said, "waited": time.monotonic() - began}))
        return
    broken = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), quick=chosen.quick, starts=chosen.start or STARTS)
        for name in chosen.only or EXPERIMENTS:
            outcomes: Counter[str] = Counter()
            began = time.monotonic()
            with contextlib.closing(EXPERIMENTS[name](bench)) as tried:
                for outcome in tried:
                    outcomes[outcome] += 1
                    if bad(outcome):
                        print(outcome, file=sys.stderr, flush=True)
                    if not outcomes.total() % 50:
                        print(f"{name}: {outcomes.total()} so far", file=sys.stderr, flush=True)
                    if time.monotonic() > began + chosen.seconds:
                        break
            broken += sum(count for outcome, count in outcomes.items() if bad(outcome))
            what = (EXPERIMENTS[name].__doc__ or "").split("\n")[0]
            took = (time.monotonic() - began) / 60
            print(f"{name}: {what} {outcomes.total()} times, {took:.1f} minutes", flush=True)
            for outcome, count in sorted(outcomes.items()):
                print(f"  {count:5}  {outcome}", flush=True)
    if broken:
        raise SystemExit(f"{broken} outcomes break the promise")


if __name__ == "__main__":
    main()
