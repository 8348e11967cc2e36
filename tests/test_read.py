"""Which files are read, how their bytes become text, and why the others are not."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT
from conftest import SEEDS, read_document

from rag.documents.decode import decode
from rag.documents.find import Source, find, places_of
from rag.errors import InputUnreadable
from rag.records import Document, Skipped

LATIN = "Der Präsident würdigte die Brüsseler Gespräche; die Höhe der Zölle bleibt ungeklärt. "


def read_bytes(folder: Path, data: bytes, *, max_bytes: int = 10_000_000) -> Document | Skipped:
    file = folder / "file.txt"
    file.write_bytes(data)
    return read_document(Source(file, "file.txt"), max_bytes=max_bytes)


def reasons(roots: list[Path]) -> dict[str, str]:
    return {skip.path: skip.reason for skip in find(roots)[1]}


def test_the_seeds_are_read_byte_for_byte() -> None:
    sources, skipped = find([SEEDS])
    assert [source.path for source in sources] == sorted(f.name for f in SEEDS.glob("*.txt"))
    assert len(sources) == 5
    assert skipped == [], "README.md and gold.jsonl are named in .ragignore"
    for source in sources:
        document = read_document(source, max_bytes=10_000_000)
        assert isinstance(document, Document)
        data = source.file.read_bytes()
        assert document.text.encode() == data
        assert document.sha256 == hashlib.sha256(data).hexdigest()
        assert (document.path, document.encoding) == (source.path, "utf-8")


def test_missing_root_is_refused_and_empty_one_lists_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputUnreadable, match=r"no such file or folder: .*absent") as caught:
        find([tmp_path / "absent"])
    assert "rag index" in caught.value.hint
    (tmp_path / "empty").mkdir()
    assert find([tmp_path / "empty"]) == ([], [])
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/folder-\xff")
    Path(bad).mkdir()
    with pytest.raises(InputUnreadable, match="not UTF-8"):
        find([Path(bad)])


def test_a_root_that_cannot_be_looked_at_is_no_bug(tmp_path: Path) -> None:
    with pytest.raises(InputUnreadable, match="cannot be looked at: File name too long"):
        find([tmp_path / ("x" * 300)])
    (tmp_path / "file").write_text("text")
    with pytest.raises(InputUnreadable, match="no such file or folder"):
        find([tmp_path / "file" / "below"])
    if os.geteuid() == 0:  # whom no permission stops
        (tmp_path / "closed").mkdir(mode=0o700)
        script = (
            "import os; from pathlib import Path; from rag.documents.find import find;"
            f" folder = Path({str(tmp_path)!r});"
            " os.chdir('/'); os.setuid(65534)\n"
            "try: find([folder / 'closed' / 'docs'])\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.stdout.startswith("InputUnreadable "), done.stdout + done.stderr
        assert "Permission denied" in done.stdout


def test_a_root_may_be_a_file_and_names_meet_only_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.txt").write_text(name)
    sources, skipped = find([tmp_path / "one" / "same.txt", tmp_path / "one", tmp_path / "two"])
    assert sources == [
        Source(tmp_path / "one" / "same.txt", "same.txt"),
        Source(tmp_path / "two" / "same.txt", "two/same.txt"),
    ]
    assert skipped == []
    (tmp_path / "two" / "one").mkdir()
    (tmp_path / "two" / "one" / "same.txt").write_text("three")
    paths = [tmp_path / name / "same.txt" for name in ("two", "one", "two/one")]
    assert {source.path: source.file for source in find(paths)[0]} == {
        "same.txt": paths[0], "one/same.txt": paths[1], "two/one/same.txt": paths[2],
    }  # fmt: skip
    mine = {"one/same.txt": paths[2]}  # what is called so in an index stays so
    sources, _ = find(paths, whose=lambda name, file: mine[name] == file if name in mine else None)
    assert {source.path: source.file for source in sources} == {
        "same.txt": paths[0], f"{tmp_path.name}/one/same.txt": paths[1], "one/same.txt": paths[2],
    }  # fmt: skip
    for source in sources:
        assert source.file in places_of(source.path, source.file.parent)


def test_what_is_no_document_is_skipped_with_its_reason(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (root / "good.md").write_text("good")
    (root / "sub" / "UPPER.TXT").write_text("good")
    (root / ".hidden.txt").write_text("hidden")
    (root / "slides.xyz").write_bytes(b"%PDF")
    (root / "noend").write_text("x")
    (root / "dangling.txt").symlink_to(root / "gone.txt")
    (root / "loop.txt").symlink_to(root / "loop.txt")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "within.txt").symlink_to(root / "good.md")
    (root / "outside").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(root / "pipe.txt")
    sources, _ = find([root])
    assert [source.path for source in sources] == ["good.md", "sub/UPPER.TXT", "within.txt"]
    why = reasons([root])
    assert why.pop("loop.txt").startswith("cannot be read: ")
    assert why == {
        "dangling.txt": "cannot be read: No such file or directory",
        "noend": "format without a suffix is not read",
        "out.txt": "a link that leads out of the folder",
        "pipe.txt": "not a regular file",
        "outside": "a link to a folder is not followed",
        "slides.xyz": "format .xyz is not read",
    }


def test_ragignore_is_obeyed_below_where_it_stands(tmp_path: Path) -> None:
    for path in (
        "a/keep.txt",
        "a/drop.txt",
        "a/b/drop.txt",
        "drop.txt",
        "old/x.txt",
        "a/old/x.txt",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("text")
    (tmp_path / ".ragignore").write_text("# a remark\n/old/\n")
    (tmp_path / "a" / ".ragignore").write_text("drop.txt\n!b/drop.txt\n")
    sources, skipped = find([tmp_path])
    assert [s.path for s in sources] == ["a/b/drop.txt", "a/keep.txt", "a/old/x.txt", "drop.txt"]
    assert skipped == []
    (tmp_path / ".ragignore").write_bytes(b"\xff\xfe")
    with pytest.raises(InputUnreadable, match=r"\.ragignore cannot be read"):
        find([tmp_path])


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"drop.txt\nbin\\\n", ["keep.txt"]),
        (b"\xef\xbb\xbfdrop.txt\n", ["keep.txt"]),
        (b"caf\xe9\ndrop.txt\n", ["keep.txt"]),
        ("drop.txt\n".encode("utf-16"), ["drop.txt", "keep.txt"]),
    ],
)
def test_a_gitignore_is_read_as_far_as_it_can_be(
    tmp_path: Path, data: bytes, kept: list[str]
) -> None:
    sub = tmp_path / "sub"
    sub.mkdir()
    for name in ("drop.txt", "keep.txt"):
        (sub / name).write_text("text")
    (sub / ".gitignore").write_bytes(data)
    assert [s.path for s in find([tmp_path])[0]] == [f"sub/{name}" for name in kept]
    (sub / ".gitignore").unlink()
    (sub / ".gitignore").symlink_to("nowhere")
    assert len(find([tmp_path])[0]) == 2
    (sub / ".ragignore").write_text("bin\\\n")
    with pytest.raises(InputUnreadable, match=r"\.ragignore cannot be read") as caught:
        find([tmp_path])
    assert "one pattern a line" in caught.value.hint


def test_names_are_safe_to_print(tmp_path: Path) -> None:
    (tmp_path / "evil\n\x1b[31mred\u202e.txt").write_text("text")
    (tmp_path / "evil\x1b]0;title\x07.x\x1byz").write_text("text")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9.txt")).write_text("text")
    sources, skipped = find([tmp_path])
    assert [source.path for source in sources] == ["evil [31mred.txt", "latin-.txt"]
    assert skipped == [Skipped("evil]0;title.xyz", "format .xyz is not read")]
    assert all(isinstance(read_document(source, max_bytes=9), Document) for source in sources)


def test_size_limit_is_exact_and_names_its_setting(tmp_path: Path) -> None:
    assert isinstance(read_bytes(tmp_path, b"x" * 1000, max_bytes=1000), Document)
    skipped = read_bytes(tmp_path, b"x" * 1_500_000, max_bytes=1_000_000)
    assert skipped == Skipped("file.txt", "1.5 MB, over the limit of 1 MB (max_file_mb)")
    gone = read_document(Source(tmp_path / "gone.txt", "gone.txt"), max_bytes=9)
    assert gone == Skipped("gone.txt", "cannot be read: No such file or directory")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)) * 40, "binary, not text"),
        (b"plain ASCII and a NUL\x00 in it", "binary, not text"),
        (b"\x01\x02\x03 abc" * 100, "binary, not text"),
        (b"\xff\xfea", "begins as utf-16 but is not"),
        (b" \r\n\t\n", "empty"),
        (b"\xef\xbb\xbf\n", "empty"),
        (b"", "empty"),
    ],
)
def test_bytes_that_are_no_text_are_skipped(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read_bytes(tmp_path, data) == Skipped("file.txt", reason)


def test_encodings(tmp_path: Path) -> None:
    for codec, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        document = read_bytes(tmp_path, mark + "Zölle 中国\r\n".encode(codec))
        assert isinstance(document, Document)
        assert (document.text, document.encoding) == ("Zölle 中国\r\n", "utf-16")
    # The mark stays, so that offsets are those of the file decoded as UTF-8.
    assert decode(b"\xef\xbb\xbfabc") == ("\ufeffabc", "utf-8")
    # A few accents are enough for UTF-8: a detector would call it something else.
    assert decode("naïve".encode()) == ("naïve", "utf-8")
    found = decode((LATIN * 5).encode("latin-1"))
    assert not isinstance(found, str), found
    assert found[0] == LATIN * 5
    assert found[1] != "utf-8"
    assert (LATIN * 5).encode(found[1]) == (LATIN * 5).encode("latin-1")


@pytest.mark.parametrize(
    "text",
    [
        "The fee is £5 a day – “no refunds” – at the café, says the mayor’s office." * 3,
        "El año pasado el ministro vino a la ciudad con la señora Núñez y habló de todo." * 3,
        "The maintenance contract was priced at €40 million in 2021, the report says.",
    ],
)
def test_a_few_signs_of_windows_are_what_they_look_like_there(text: str) -> None:
    padded = f"{text} {'plain words behind it. ' * 8}"
    assert decode(padded.encode("cp1252")) == (padded, "cp1252")


def test_other_alphabets_are_left_to_the_detector() -> None:
    for text, encoding in (
        ("Парламент отказался ратифицировать соглашение в прошлом году.", "cp1251"),
        ("Zażółć gęślą jaźń, powiedział minister w środę późno w nocy.", "cp1250"),
    ):
        found = decode((text * 5).encode(encoding))
        assert not isinstance(found, str)
        assert found[1] != "cp1252"


def test_line_ends_are_kept(tmp_path: Path) -> None:
    document = read_bytes(tmp_path, b"one\r\ntwo\rthree\n")
    assert isinstance(document, Document)
    assert document.text == "one\r\ntwo\rthree\n"
