"""The states that bench/crash.py goes between, and the judge of what a crash leaves.

Every run and every look happens in a child process of its own. The parent has loaded the libraries,
so that a child is a fork; a process that is killed holds no more than any other would.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import sqlite3
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rag.backends.embed import HashEmbedder
from rag.documents.language import language_of
from rag.errors import RagError
from rag.indexing import build_index
from rag.retrieval.retrieve import make_query, retrieve
from rag.storage.database import DATABASE, is_index
from rag.storage.dense import FILE, open_dense
from rag.storage.soundness import problems
from rag.storage.store import open_index

ROOT = Path(__file__).parents[1]
WORDS = "harbour bridge dairy orchard quarry lighthouse railway market library mill".split()
QUESTIONS = ("bridge", "Who built the lighthouse?", "Did the mill burn down?")
KILLED = {"killed": True}
STARTS = ("nothing", "before", "damaged")  # what a run that is killed or starved begins with
LOG = f"{DATABASE}-wal"
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
    """What a reader gets: every text, all that searches find, and what the checks say."""
    if not is_index(folder):
        return {"error": "index", "message": "never finished: no index"}
    try:
        with contextlib.closing(open_index(folder)) as store:
            wrong = problems(store, thorough=True)
            dense = open_dense(store)
            stored = {path: store.text(d.id) for d in store.documents()
                      for path in (d.path, *d.also_in)}  # fmt: skip
            found: list[Any] = []
            for question in QUESTIONS:
                query = make_query(question, embedder=HashEmbedder(), acronyms=store.acronyms())
                # Among equals the older passage comes first, and a run that went on has others.
                hits = retrieve(query, store=store, dense=dense, limit=100)
                found.append(sorted(
                    [hit.document.path, hit.document.also_in, hit.passage.clean,
                     {stage: round(score, 4) for stage, score in hit.stage_scores.items()}]
                    for hit in hits
                ))  # fmt: skip
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


def ticking(tick: Callable[[str], None]) -> None:
    """Call back before every SQL statement, sync, rename and removal of this process."""
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(tick)
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]
    for name in ("fsync", "replace", "rename", "unlink", "ftruncate", "link"):
        real = getattr(os, name)

        def called(
            *args: Any, real: Callable[..., Any] = real, name: str = name, **options: Any
        ) -> Any:
            tick(name)
            return real(*args, **options)

        setattr(os, name, called)


class Bench:
    """The states to go between, and a folder to damage.

    An index is at one of these: ``nothing`` yet, ``before``, ``after``, at the later state
    but ``logged`` (its last transaction is still in SQLite's log), or ``damaged`` at the
    later state (two of its texts and a vector). The documents are those of the later state.
    """

    def __init__(self, folder: Path, *, quick: bool, starts: Sequence[str] = STARTS) -> None:
        for library in ("faiss", "nupunkt", "snowballstemmer"):  # once for all children
            importlib.import_module(library)
        language_of("It loads its model at the first text that is long enough.")
        self.quick, self.folder, self.starts = quick, folder, starts
        self.live, self.index = folder / "docs", folder / "index"
        self.states: list[State] = []
        for step, name in enumerate(("before", "after")):
            lay_out(self.live, texts(step + 1))
            saved = self.saved(name)
            if step:
                shutil.copytree(self.saved("before"), saved)
            self.expect(apart(lambda saved=saved: index(self.live, saved)))  # type: ignore[misc]
            self.states.append(apart(lambda saved=saved: look(saved)))  # type: ignore[misc]
            self.expect(self.states[-1])
            if self.states[-1]["problems"]:
                raise SystemExit(f"unsound from the start: {self.states[-1]['problems']}")
        self._make_logged()
        self._make_damaged()

    def saved(self, name: str) -> Path:
        """Where the index of a state is kept."""
        return self.folder / f"index-{name}"

    def _make_logged(self) -> None:
        saved = self.saved("logged")
        shutil.copytree(self.saved("before"), saved)

        def tick(what: str) -> None:
            if what.startswith("PRAGMA wal_checkpoint"):
                os.kill(os.getpid(), signal.SIGKILL)

        def work() -> State:
            ticking(tick)
            return index(self.live, saved)

        if apart(work) is not KILLED or not (saved / LOG).stat().st_size:
            raise SystemExit("no index whose last transaction is in the log")

    def _make_damaged(self) -> None:
        saved = self.saved("damaged")
        shutil.copytree(self.saved("after"), saved)
        of = "(SELECT document_id FROM files WHERE path = '{}.txt')"
        with contextlib.closing(sqlite3.connect(saved / DATABASE)) as database, database:
            for statement in (
                "UPDATE texts SET text = text || '!' WHERE document_id IN"
                f" ({of.format('dairy')}, {of.format('new')})",
                "UPDATE vectors SET passage = zeroblob(1536) WHERE passage_id IN (SELECT id FROM"
                f" passages WHERE document_id = {of.format('bridge')})",
            ):
                if not database.execute(statement).rowcount:
                    raise SystemExit("nothing was damaged")

    def expect(self, state: State) -> None:
        """Fail where something that must work did not."""
        if "error" in state or state is KILLED:
            raise SystemExit(f"unexpected: {state}")

    def restore(self, name: str) -> None:
        """The saved index of a state, with the documents of the later one."""
        shutil.rmtree(self.index, ignore_errors=True)
        if name != "nothing":
            shutil.copytree(self.saved(name), self.index)

    def run(self) -> State:
        """One run of ``rag index``, in a child."""
        return apart(lambda: index(self.live, self.index))

    def seen(self) -> State:
        """What a reader of the index gets, in a child."""
        return apart(lambda: look(self.index))

    def after(self, start: str) -> str:
        """Judge what a crash or a full disk left of a run that began at a state."""
        return self.after_damage() if start == "damaged" else self.after_crash(start)

    def after_crash(self, start: str = "before") -> str:
        """The index must open at the old or the new state and say which; then run again."""
        first = start == "nothing"
        state = self.seen()
        outcome = self._named(state, first=first)
        if not outcome:
            return f"BROKEN: {str(state)[:600]}"
        # A FAISS file of the generation before is searched with what it lacks beside it.
        other = [p for p in state.get("problems", []) if FILE not in p]
        if other:
            return f"UNSOUND: {other}"
        again = self.run()
        state = self.seen()
        if self._named(state, first=first) != "the new state" or state["problems"]:
            return f"NOT MENDED: {again} {str(state)[:600]}"
        return outcome

    def _named(self, state: State, *, first: bool) -> str:
        """Which state this is, by its content and by its generation; "" where it is neither."""
        older, newer = self.states
        if same(state, newer) and state["generation"] == (1 if first else newer["generation"]):
            return "the new state"
        if first:
            nothing = state.get("error") == "index" and "never fin" in state["message"]
        else:
            nothing = same(state, older) and state["generation"] == older["generation"]
        return "the old state" if nothing else ""

    def after_damage(self, *, older: bool = False) -> str:
        """Nothing wrong may be served, damage must be noticed, and the next run must mend it.

        Args:
            older: The earlier state, whole, is right too.
        """
        state = self.seen()
        if state is KILLED or state.get("error") == "bug":
            return f"CRASHED: {state}"
        noticed = bool(state.get("problems")) or "error" in state
        right = self.states[0 if older else 1 :]
        if "texts" in state:
            wrong = [
                path for path, text in state["texts"].items()
                if all(text != one["texts"].get(path) for one in right)
            ]  # fmt: skip
            if wrong or not (noticed or any(same(state, one) for one in right)):
                return f"SERVED WRONG: {str(state)[:600]}"
        said = self.run()
        after = self.seen()
        if "error" in said or not same(after, self.states[1]) or after["problems"]:
            return f"NOT MENDED: {said} {str(after)[:600]}"
        if not noticed:
            return "no effect: whole" if same(state, self.states[1]) else "the older state, whole"
        return f"noticed, mended; {'some texts' if said['embedded'] else 'nothing'} embedded again"
