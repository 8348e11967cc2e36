"""An index that stays fresh: bursts become one run, errors are survived."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command import environment
from conftest import IndexBuilder

from rag.errors import IndexBusy
from rag.indexing import IndexReport
from rag.watching import watch_roots


def test_a_burst_is_one_run_and_an_error_is_tried_again(
    tmp_path: Path, build: IndexBuilder
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The first text.")
    build(docs)
    runs: list[int] = []

    def run(roots: list[Path]) -> IndexReport:
        runs.append(len(runs))
        if len(runs) == 1:
            raise IndexBusy("process 1 is writing the index")
        return build(*roots)

    def write() -> None:
        for n in range(20):
            (docs / f"new{n}.txt").write_text(f"The text number {n}.")
            time.sleep(0.01)

    timer = threading.Timer(1.0, write)
    timer.start()
    watched = watch_roots(tmp_path / "index", [], run, quiet_ms=200, again_ms=300)
    first = next(watched)
    assert isinstance(first, IndexBusy)
    second = next(watched)
    timer.join()
    assert isinstance(second, IndexReport)
    assert second.added, "what changed while it failed is not forgotten"
    assert len(runs) <= 6


def test_watching_ends_with_ctrl_c(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The first text.")
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", "index", "docs", "--watch", "--json"], cwd=tmp_path,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert '"added": ["a.txt"]' in process.stdout.readline()
    time.sleep(2)
    (docs / "b.txt").write_text("The second text.")
    assert '"added": ["b.txt"]' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err


@pytest.mark.parametrize("gone", [True, False])
def test_a_root_that_goes_away_is_waited_for(
    tmp_path: Path, build: IndexBuilder, gone: bool
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The first text.")
    build(docs)

    def act() -> None:
        if gone:
            docs.rename(tmp_path / "away")
            time.sleep(1)
            (tmp_path / "away").rename(docs)
        (docs / "b.txt").write_text("The second text.")

    timer = threading.Timer(1.0, act)
    timer.start()
    for outcome in watch_roots(
        tmp_path / "index", [], lambda roots: build(*roots), quiet_ms=100, again_ms=200
    ):
        if isinstance(outcome, IndexReport) and "b.txt" in outcome.added:
            break
    timer.join()


def test_what_changed_before_the_watch_stood_is_found(tmp_path: Path, build: IndexBuilder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The first text.")
    build(docs)
    (docs / "b.txt").write_text("The second text.")
    time.sleep(0.5)
    watched = watch_roots(
        tmp_path / "index", [], lambda roots: build(*roots), quiet_ms=100, again_ms=200
    )
    outcome = next(watched)
    assert isinstance(outcome, IndexReport)
    assert outcome.added == ("b.txt",)


def test_what_a_run_writes_starts_no_other(tmp_path: Path, build: IndexBuilder) -> None:
    docs, link = tmp_path / "docs", tmp_path / "link"
    docs.mkdir()
    link.symlink_to(docs)
    (docs / "a.txt").write_text("The first text.")
    build(docs, folder=docs / "index")
    runs: list[int] = []

    def run(roots: list[Path]) -> IndexReport:
        runs.append(len(runs))
        (docs / "index" / f"written{len(runs)}").write_text("by the run")
        if len(runs) == 1:
            threading.Timer(1.5, lambda: (docs / "b.txt").write_text("The second text.")).start()
        return build(*roots, folder=docs / "index")

    outcome = next(watch_roots(docs / "index", [link], run, quiet_ms=100, again_ms=200))
    assert isinstance(outcome, IndexReport)
    assert outcome.added == ("b.txt",)
    assert len(runs) == 2
