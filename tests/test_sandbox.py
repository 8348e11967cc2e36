"""Untrusted files are parsed elsewhere: what that process may do, and what becomes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import documents
import pytest
from command import ROOT, invoke, parser_running

from rag.documents.converted import Converted
from rag.documents.sandbox import ParseLimits, Sandbox, _checked

TRIALS = """
import os, socket, subprocess, sys
sys.path.insert(0, {root!r})
from rag.documents.child import confine
confine(memory=10**9)
trials = {{
    "read": lambda: open({secret!r}).read(),
    "read by the system": lambda: os.read(os.open({secret!r}, os.O_RDONLY), 9),
    "list": lambda: os.listdir({folder!r}),
    "write": lambda: open({folder!r} + "/made", "w"),
    "remove": lambda: os.remove({secret!r}),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "start": lambda: subprocess.run(["true"]),
    "fork": lambda: os.fork(),
    "allocate": lambda: bytearray(2 * 10**9),
}}
for name, trial in trials.items():
    try:
        trial()
    except (PermissionError, MemoryError) as error:
        print(name, type(error).__name__)
import wave, encodings.cp1250
print("own libraries")
"""


def test_the_process_that_parses_can_do_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    script = TRIALS.format(root=str(ROOT), secret=str(tmp_path / "secret"), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False
    )
    refused = [
        f"{name} PermissionError"
        for name in ("read", "read by the system", "list", "write", "remove", "connect", "start",
                     "fork")
    ]  # fmt: skip
    expected = [*refused, "allocate MemoryError", "own libraries"]
    if sys.platform != "linux":
        expected = [line for line in expected if not line.startswith("allocate")]
    assert done.stdout.splitlines() == expected, done.stderr


def test_one_process_serves_many_files_and_is_replaced_when_it_dies() -> None:
    with Sandbox(ParseLimits()) as sandbox:
        good = documents.zipped({"x": "y"})
        assert isinstance(sandbox.parse(b"a,b\n1,2\n", "csv"), Converted)
        assert sandbox._process is not None
        first = sandbox._process.pid
        assert str(sandbox.parse(good, "docx")).startswith("damaged: "), "a reason"
        assert sandbox._process.pid == first
        os.kill(first, 9)
        made = sandbox.parse(b"a,b\n1,2\n", "csv")
        assert isinstance(made, Converted), "killed between two files: asked again"
        assert sandbox._process.pid != first
        last = sandbox._process
    assert last.poll() is not None, "nothing is left running"


def test_limits_end_the_parsing_and_name_their_settings() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    many = b'{"text": "' + b"x" * 4_000_000 + b'"}'
    with Sandbox(ParseLimits(wall_seconds=0)) as sandbox:
        assert "parse_wall_seconds" in str(sandbox.parse(b"a,b\n", "csv"))
    with Sandbox(ParseLimits()) as sandbox:
        assert sandbox.parse(deep, "json") == "nested too deeply"
    with Sandbox(ParseLimits(max_chars=1_000_000)) as sandbox:
        assert "max_file_mb" in str(sandbox.parse(many, "json"))
    with Sandbox(ParseLimits(memory_mb=256)) as sandbox:
        wide = b"[" + b"{}," * 4_000_000 + b"{}]"
        assert "parse_memory_mb" in str(sandbox.parse(wide, "json"))
        assert isinstance(sandbox.parse(b"a,b\n1,2\n", "csv"), Converted), "and the next one works"


def test_a_file_that_ends_its_process_is_tried_once_more_and_no_more() -> None:
    starts: list[int] = []

    class Deadly(Sandbox):
        def _start(self) -> subprocess.Popen[bytes]:
            starts.append(len(starts))
            assert len(starts) <= 4, "it is tried for ever"
            return super()._start()

        def _exchange(self, data: bytes, format_: str) -> dict[str, object] | str:
            if data == b"deadly":
                os.kill((self._process or self._start()).pid, 9)
            return super()._exchange(data, format_)

    with Deadly(ParseLimits()) as sandbox:
        assert isinstance(sandbox.parse(b"a,b\n1,2\n", "csv"), Converted)
        assert "SIGKILL" in str(sandbox.parse(b"deadly", "csv"))
        assert len(starts) == 2
        assert "SIGKILL" in str(sandbox.parse(b"deadly", "csv"))
        assert isinstance(sandbox.parse(b"a,b\n1,2\n", "csv"), Converted), "and the next one works"


def test_processor_time_is_counted_for_each_file() -> None:
    slow = b"[" + b'{"a":1.5},' * 9_000_000 + b"{}]"  # three seconds of a fast processor
    with Sandbox(ParseLimits(cpu_seconds=1, memory_mb=4000)) as sandbox:
        assert "parse_cpu_seconds" in str(sandbox.parse(slow, "json"))


def test_a_limit_of_the_whole_session_is_kept() -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_CPU, (500, 500));"
        f" sys.path.insert(0, {str(ROOT)!r});"
        " from rag.documents.sandbox import ParseLimits, Sandbox; sandbox = Sandbox(ParseLimits());"
        " print(sandbox.parse(b'a,b\\n1,2\\n', 'csv'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("Converted("), done.stdout + done.stderr


def test_the_process_sees_libraries_and_no_other_folder_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, other = tmp_path / "lib", tmp_path / "other"
    (library / "thing-1.0.dist-info").mkdir(parents=True)
    other.mkdir()
    monkeypatch.setattr(sys, "path", ["", str(other), str(library), *sys.path])
    shown = tmp_path / "shown"
    script = (
        "import sys; from pathlib import Path; import rag.documents.child;"
        f"shown = Path({str(shown)!r});"
        "rag.documents.child.serve = lambda **_: shown.write_text(chr(10).join(sys.path));"
    )
    with Sandbox(ParseLimits()) as sandbox:
        process = sandbox._start()
        assert isinstance(process.args, list)
        start = str(process.args[-1]).replace("import rag.documents.child;", script)
        subprocess.run([*process.args[:-1], start], check=True)
        assert str(library) in shown.read_text().split("\n")
        assert str(other) not in shown.read_text().split("\n")
        if sys.platform == "linux":
            environ = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            assert b"OPENBLAS_NUM_THREADS=1" in environ


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"text": 1, "places": [], "about": {}},
        {"text": "abc", "places": [[0, "p. 1", 1], [9, "p. 2", 2]], "about": {}},
        {"text": "abc", "places": [[2, "p. 1", 1], [1, "p. 2", 2]], "about": {}},
        {"text": "abc", "places": [["x"]], "about": {}},
        {"text": "abc", "places": [[float("inf"), "p. 1", 1]], "about": {}},
        {"text": "abc", "places": [[0, "p. 1", 10**30]], "about": {}},
        {"text": "abc", "places": [[0, "p. \ud800", 1]], "about": {}},
        {"text": "abc", "places": [], "about": {"title": "\ud800"}},
        {"text": "a\ud800c", "places": [], "about": {}},
        {"reason": "\x1b\u202e"},
    ],
)
def test_an_answer_that_makes_no_sense_is_not_believed(reply: dict[str, object]) -> None:
    assert "its parser sent back" in str(_checked(reply))


def test_what_a_parser_says_is_safe_to_print_and_no_depth_of_it_is_an_error() -> None:
    assert _checked({"reason": "bad \x1b[31m\u202e\ud800file\n"}) == "bad [31mfile"
    deep = b"[" * 200_000 + b"]" * 200_000
    script = (
        "import sys; from rag.documents.child import LENGTH; from pathlib import Path;"
        f" sys.stdin.buffer.read(1); deep = b'[' * {len(deep) // 2} + b']' * {len(deep) // 2};"
        " sys.stdout.buffer.write(LENGTH.pack(len(deep)) + deep); sys.stdout.flush();"
        " sys.stdin.read()"
    )
    with parser_running(script)(ParseLimits()) as sandbox:
        assert sandbox.parse(b"x", "csv") == "its parser sent back no answer"


def test_a_page_is_cited_and_shown(tmp_path: Path) -> None:
    docs, index = tmp_path / "docs", str(tmp_path / "index")
    (docs / "sub").mkdir(parents=True)
    (docs / "sub" / "plan.pdf").write_bytes(
        documents.pdf("The harbour was built in 1890.", "The crane lifts nine tons.")
    )
    (docs / "fleet.xlsx").write_bytes(
        documents.xlsx(("Ship", "Captain"), ("Aurora", "Jan Petersen"), ("Bounty", "Bligh"))
    )
    assert invoke("index", str(docs), "--index", index).exit_code == 0
    asked = invoke("ask", "How many tons does the crane lift?", "--index", index, "--json",
                   RAG_ANSWER_THRESHOLD="0")  # fmt: skip
    (citation, *_) = json.loads(asked.stdout)["citations"]
    assert (citation["document"], citation["page"], citation["place"]) == (
        "sub/plan.pdf", 2, "p. 2",
    )  # fmt: skip
    shown = json.loads(invoke("show", "plan.pdf", "--page", "2", "--index", index, "--json").stdout)
    assert shown["schema"] == "rag.show/1"
    assert (shown["page"], shown["place"], shown["text"]) == (2, "p. 2", citation["quote"])
    assert shown["start"] == citation["start"]
    found = invoke("search", "captain of the Aurora", "--index", index).stdout
    assert "fleet.xlsx:3-4 (Ships row 2)" in found
    text = invoke("ask", "Who is captain of the Aurora?", "--index", index,
                  RAG_ANSWER_THRESHOLD="0").stdout  # fmt: skip
    assert "(Ships row 2)" in text
