"""Nothing is ever lost: a few of each of the experiments of ``bench/crash.py``."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import ROOT

from rag.errors import IndexUnusable
from rag.storage.database import DATABASE, has_files
from rag.storage.store import open_index


@pytest.mark.parametrize(
    ("experiments", "least"),
    [(("points", "kills"), 18), (("disk",), 2), (("flips", "tails", "files"), 20),
     (("writers", "readers"), 12)],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_the_index_opens_whole_and_is_mended(experiments: tuple[str, ...], least: int) -> None:
    only = [part for name in experiments for part in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.crash", "--quick", *only],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tried = [int(number) for number in re.findall(r" (\d+) times, ", done.stdout, re.MULTILINE)]
    if experiments == ("disk",) and not any(tried):
        mount = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if shutil.which(mount[0]):
            made = subprocess.run(mount, check=False)
            assert made.returncode, "a disk can be made here, and none was filled"
        pytest.skip("no file system may be mounted here")
    assert len(tried) == len(experiments)
    assert sum(tried) >= least, done.stdout


def _never_finished(folder: Path) -> None:
    with pytest.raises(IndexUnusable, match="never finished"):
        open_index(folder)


def _without_files(folder: Path) -> None:
    assert not has_files(folder)


@pytest.mark.parametrize("reads", [_never_finished, _without_files])
def test_a_first_run_killed_while_it_made_the_file_left_no_index(
    tmp_path: Path, reads: Callable[[Path], None]
) -> None:
    made, folder = tmp_path / "made", tmp_path / "index"
    writer = sqlite3.connect(made, isolation_level=None)
    writer.execute("PRAGMA cache_size = 1")  # so that pages are written before it is committed
    writer.execute("BEGIN")
    writer.execute("CREATE TABLE meta (value BLOB)")
    for _ in range(50):
        writer.execute("INSERT INTO meta VALUES (zeroblob(3000))")
    folder.mkdir()
    for suffix in ("", "-journal"):
        shutil.copy(f"{made}{suffix}", folder / f"{DATABASE}{suffix}")
    writer.close()
    assert (folder / DATABASE).stat().st_size
    reads(folder)
