"""Nothing is ever lost: a few of each of the experiments of ``bench/crash.py``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from command import ROOT


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
    tried = [int(number) for number in re.findall(r" (\d+) times$", done.stdout, re.MULTILINE)]
    if experiments == ("disk",) and not any(tried):
        mount = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if shutil.which(mount[0]):
            made = subprocess.run(mount, check=False)
            assert made.returncode, "a disk can be made here, and none was filled"
        pytest.skip("no file system may be mounted here")
    assert len(tried) == len(experiments)
    assert sum(tried) >= least, done.stdout
