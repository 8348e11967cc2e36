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
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from rag.embed import HashEmbedder
from rag.errors import IndexBusy, RagError
from rag.indexing import build_index
from rag.store import DATABASE, is_index, open_index

ROOT = Path(__file__).parents[1]
WORDS = "harbour bridge dairy orchard quarry lighthouse railway market library mill".split()
KILLED = {"killed": True}
CALLS = ("fdatasync", "fsync", "rename", "unlink", "ftruncate", "pwrite64")
State = dict[str, Any]


def texts(step: int) -> dict[str, str]:
    """The documents of a state: one of each kind of change lies between two."""
    found = {
        f"{word}.txt": f"# The {word}\n\nThe {word} was opened in {1900 + n}. It cost {n + 2}"
        f" million. Nobody in the town remembers who built the {word}.\n"
        for n, word in enumerate(WORDS)
    }
    if step > 1:
        found["mill.txt"] = "# The mill\n\nThe mill burned down. It was built again in 1950.\n"
        found["moved.txt"] = found.pop("market.txt")
        found["copy.txt"] = found["library.txt"]
        found["new.txt"] = "# The weir\n\nA weir was added to the river in 1988.\n"
        del found["quarry.txt"]
    return found


def lay_out(folder: Path, documents: dict[str, str]) -> None:
    """Make a folder hold exactly these files."""
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    for name, text in documents.items():
        (folder / name).write_text(text, encoding="utf-8")


def index(docs: Path, folder: Path) -> State:
    """One run of ``rag index``."""
    try:
        report = build_index(
            [docs], folder=folder, open_embedder=HashEmbedder, embedder_name="hash",
            max_bytes=10**6,
        )  # fmt: skip
    except RagError as error:
        return {"error": error.kind, "message": error.message}
    return {"embedded": report.embedded, "generation": report.generation, "mended": report.mended}


def look(folder: Path) -> State:
    """What a reader gets: every text, what searches find, and what the checks say."""
    from rag.dense import open_dense
    from rag.retrieve import make_query, retrieve
    from rag.soundness import problems

    if not is_index(folder):
        return {"error": "index", "message": "never finished: no index"}
    try:
        with contextlib.closing(open_index(folder)) as store:
            wrong = problems(store, thorough=True)
            dense = open_dense(store)
            stored = {path: store.text(d.id) for d in store.documents()
                      for path in (d.path, *d.also_in)}  # fmt: skip
            found: list[Any] = []
            for question in ("bridge", "Who built the lighthouse?", "Did the mill burn down?"):
                query = make_query(question, embedder=HashEmbedder(), acronyms=store.acronyms())
                best = retrieve(query, store=store, dense=dense, limit=5)[0]
                found.append([best.document.path, best.passage.clean, sorted(best.ranks)])
            found.append(len(dense))
            return {"texts": stored, "found": found, "generation": store.generation,
                    "problems": wrong}  # fmt: skip
    except RagError as error:
        return {"error": error.kind, "message": error.message}


def same(one: State, other: State) -> bool:
    """Whether two readers got the same."""
    return "texts" in one and all(one[key] == other.get(key) for key in ("texts", "found"))


def apart(work: Callable[[], State]) -> State:
    """Do something in a child process; ``KILLED`` where that dies by a signal."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "w", encoding="utf-8") as out:
                json.dump(work(), out)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as data:
        said = data.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return KILLED
    if os.waitstatus_to_exitcode(status):
        return {"error": "bug", "message": "a traceback"}
    found: State = json.loads(said)
    return found


class Bench:
    """The states to go between, and a folder to damage."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.quick, self.folder = quick, folder
        self.docs = [folder / "before", folder / "after"]
        self.saved = [folder / "index-before", folder / "index-after"]
        lay_out(self.docs[0], texts(1))
        lay_out(self.docs[1], texts(2))
        self.live, self.index = folder / "docs", folder / "index"
        self.states: list[State] = []
        for step, saved in enumerate(self.saved):
            lay_out(self.live, texts(step + 1))
            if step:
                shutil.copytree(self.saved[0], saved)
            self.expect(apart(lambda saved=saved: index(self.live, saved)))  # type: ignore[misc]
            self.states.append(apart(lambda saved=saved: look(saved)))  # type: ignore[misc]
            self.expect(self.states[-1])
            if self.states[-1]["problems"]:
                raise SystemExit(f"unsound from the start: {self.states[-1]['problems']}")

    def expect(self, state: State) -> None:
        """Fail where something that must work did not."""
        if "error" in state or state is KILLED:
            raise SystemExit(f"unexpected: {state}")

    def restore(self, step: int) -> None:
        """The saved index of a state, with the documents of the later one."""
        shutil.rmtree(self.index, ignore_errors=True)
        if step >= 0:
            shutil.copytree(self.saved[step], self.index)

    def after_crash(self, *, from_nothing: bool = False) -> str:
        """Judge what a crash left, run again, and judge that."""
        state = apart(lambda: look(self.index))
        if same(state, self.states[1]):
            outcome = "the new state"
        elif (
            from_nothing and state.get("error") == "index" and "never fin" in state["message"]
        ) or (not from_nothing and same(state, self.states[0])):
            outcome = "the old state"
        else:
            return f"BROKEN: {str(state)[:200]}"
        other = [p for p in state.get("problems", []) if "faiss" not in p]
        if other:
            return f"UNSOUND: {other}"
        again = apart(lambda: index(self.live, self.index))
        state = apart(lambda: look(self.index))
        if "error" in again or not same(state, self.states[1]) or state["problems"]:
            return f"NOT MENDED: {again} {str(state)[:200]}"
        return outcome


# -- kills --------------------------------------------------------------------------------------


def ticking(tick: Callable[[], None]) -> None:
    """Call back before every SQL statement, sync, rename and removal of this process."""
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(lambda _: tick())
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]
    for name in ("fsync", "replace", "rename", "unlink", "ftruncate"):
        real = getattr(os, name)

        def called(*args: Any, real: Callable[..., Any] = real, **options: Any) -> Any:
            tick()
            return real(*args, **options)

        setattr(os, name, called)


def killed_at(bench: Bench, number: int) -> State:
    """Index in a process that is killed at its n-th step; 0 counts the steps."""

    def work() -> State:
        count = 0

        def tick() -> None:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        ticking(tick)
        return {**index(bench.live, bench.index), "steps": count}

    return apart(work)


def points(bench: Bench) -> Generator[str, None, None]:
    """Killed before every SQL statement, sync and rename of a run."""
    for first in (-1, 0):
        bench.restore(first)
        steps = killed_at(bench, 0)["steps"]
        for number in range(1, steps + 1, max(1, steps // 8) if bench.quick else 1):
            bench.restore(first)
            if killed_at(bench, number) is KILLED:
                yield bench.after_crash(from_nothing=first < 0)


def calls(bench: Bench) -> Generator[str, None, None]:
    """Killed at system calls (strace): every sync, rename, removal and truncation, some writes."""
    if not shutil.which("strace"):
        return
    command = [sys.executable, "-m", "bench.crash", "--worker", str(bench.live), str(bench.index)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    trace = bench.folder / "trace"
    bench.restore(0)
    base = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={','.join(CALLS)}"]
    subprocess.run([*base, *command], check=True, env=environment, cwd=ROOT)
    counts = Counter(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    for call in CALLS:
        most = 3 if bench.quick else 60
        for number in range(1, counts[call] + 1, max(1, counts[call] // most)):
            bench.restore(0)
            inject = ["-e", f"inject={call}:signal=KILL:when={number}"]
            subprocess.run([*base, *inject, *command], check=False, env=environment, cwd=ROOT)
            yield bench.after_crash()


def kills(bench: Bench) -> Generator[str, None, None]:
    """Killed at random moments."""
    draw = random.Random(0)
    bench.restore(0)
    began = time.monotonic()
    bench.expect(apart(lambda: index(bench.live, bench.index)))
    life, done = time.monotonic() - began, 0
    while done < (5 if bench.quick else 200):
        bench.restore(0)
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                index(bench.live, bench.index)
            os._exit(0)
        time.sleep(draw.random() * life)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            done += 1
            yield bench.after_crash()


# -- a full disk --------------------------------------------------------------------------------


def disk(bench: Bench) -> Generator[str, None, None]:
    """A disk that is full after so many bytes more, from none to enough."""
    mount = bench.folder / "disk"
    mount.mkdir()
    kept = bench.index
    size = sum(file.stat().st_size for file in bench.saved[0].iterdir()) + 40_000
    step = 64 if bench.quick else 4
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mount],
                          capture_output=True, check=False)  # fmt: skip
    if made.returncode:
        return
    try:
        bench.index = mount / "index"
        for free in range(0, 4000, step):
            subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
            bench.restore(0)
            limit = f"remount,size={size // 1024 + free}k"
            subprocess.run(["mount", "-o", limit, mount], check=True)
            said = apart(lambda: index(bench.live, bench.index))
            if said.get("error") not in (None, "resources"):
                yield f"WRONG ERROR: {said}"
            subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
            outcome = bench.after_crash()
            yield outcome if "error" in said else f"enough: {outcome}"
            if "error" not in said:
                break
    finally:
        bench.index = kept
        subprocess.run(["umount", mount], check=False)


# -- damage -------------------------------------------------------------------------------------


def judge_damage(bench: Bench) -> str:
    """Judge what a reader gets from a damaged index, and whether the next run mends it."""
    state = apart(lambda: look(bench.index))
    if state is KILLED or state.get("error") == "bug":
        return f"CRASHED: {state}"
    noticed = bool(state.get("problems")) or "error" in state
    if "texts" in state:
        wrong = [
            path for path, text in state["texts"].items()
            if text != bench.states[1]["texts"].get(path)
        ]  # fmt: skip
        if wrong or not (noticed or same(state, bench.states[1])):
            return f"SERVED WRONG: {str(state)[:300]}"
    said = apart(lambda: index(bench.live, bench.index))
    after = apart(lambda: look(bench.index))
    if "error" in said or not same(after, bench.states[1]) or after["problems"]:
        return f"NOT MENDED: {said} {str(after)[:300]}"
    if not noticed:
        return "no effect: a byte that nothing reads"
    return f"noticed, mended; {'nothing' if not said['embedded'] else 'some texts'} embedded again"


def flips(bench: Bench) -> Generator[str, None, None]:
    """One flipped bit, anywhere in any file."""
    draw = random.Random(1)
    for number in range(12 if bench.quick else 300):
        bench.restore(1)
        file = bench.index / (DATABASE if number % 3 else "dense.faiss")
        data = bytearray(file.read_bytes())
        at = draw.randrange(len(data))
        data[at] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
        yield judge_damage(bench)


def tails(bench: Bench) -> Generator[str, None, None]:
    """The end of a file zeroed, or cut off."""
    for name in (DATABASE, "dense.faiss"):
        for percent in range(5, 100, 45 if bench.quick else 5):
            for cut in (False, True):
                bench.restore(1)
                data = (bench.index / name).read_bytes()
                keep = len(data) * percent // 100
                (bench.index / name).write_bytes(
                    data[:keep] + (b"" if cut else bytes(len(data) - keep))
                )
                yield judge_damage(bench)


def files(bench: Bench) -> Generator[str, None, None]:
    """A file missing, or of another generation or another index."""
    other = bench.folder / "index-other"
    lay_out(bench.folder / "other", texts(1))
    bench.expect(apart(lambda: index(bench.folder / "other", other)))
    for name in (DATABASE, "dense.faiss", "lock"):
        bench.restore(1)
        (bench.index / name).unlink()
        yield judge_damage(bench)
    for source in (bench.saved[0], other):
        bench.restore(1)
        shutil.copy(source / "dense.faiss", bench.index)
        yield judge_damage(bench)
    bench.restore(1)
    shutil.copy(bench.saved[0] / DATABASE, bench.index)  # the older state, whole
    yield bench.after_crash()


# -- many at once -------------------------------------------------------------------------------


def writers(bench: Bench) -> Generator[str, None, None]:
    """Eight writers at once: one writes, the others are told who, within a second."""
    for _ in range(1 if bench.quick else 5):
        bench.restore(0)
        command = [sys.executable, "-m", "bench.crash", "--worker", str(bench.live),
                   str(bench.index)]  # fmt: skip
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(8)
        ]
        said = [json.loads(process.communicate()[0]) for process in running]
        pids = {str(process.pid) for process in running}
        for one in said:
            named = re.search(r"process (\d+) is writing", one.get("message", ""))
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


EXPERIMENTS = {f.__name__: f for f in (points, calls, kills, disk, flips, tails, files, writers,
                                       readers)}  # fmt: skip


def bad(outcome: str) -> bool:
    """Whether the promise was broken: those outcomes begin in capitals, or say LATE."""
    return outcome[:4].isupper() or "LATE" in outcome


def main() -> None:
    """Run the experiments, print what came out, and fail where the promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=EXPERIMENTS, action="append")
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
        bench = Bench(Path(folder), quick=chosen.quick)
        for name in chosen.only or EXPERIMENTS:
            outcomes: Counter[str] = Counter()
            until = time.monotonic() + chosen.seconds
            with contextlib.closing(EXPERIMENTS[name](bench)) as tried:
                for outcome in tried:
                    outcomes[outcome] += 1
                    if time.monotonic() > until:
                        break
            broken += sum(count for outcome, count in outcomes.items() if bad(outcome))
            print(f"{name}: {(EXPERIMENTS[name].__doc__ or '').strip()} {outcomes.total()} times",
                  flush=True)  # fmt: skip
            for outcome, count in outcomes.most_common():
                print(f"  {count:5}  {outcome}", flush=True)
    if broken:
        raise SystemExit(f"{broken} outcomes break the promise")


if __name__ == "__main__":
    main()
