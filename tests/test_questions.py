"""Files of questions: every format, and rows that cannot be asked."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from rag.errors import InputUnreadable
from rag.lists.questions import Question, read_questions


def read(folder: Path, name: str, content: str | bytes) -> list[Question]:
    """The questions of a file with this content."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_questions(file)


def problems(questions: list[Question]) -> list[str]:
    """What is wrong with each, "" where nothing is."""
    return [q.problem.message if q.problem else "" for q in questions]


def test_text_is_a_question_a_line(tmp_path: Path) -> None:
    found = read(tmp_path, "q.txt", "Why?\r\n\r\n  \tWho = was it? \nWhen\u2028then?\n\nWhy?")
    assert [(q.number, q.text) for q in found] == [
        (1, "Why?"), (2, "Who = was it?"), (3, "When\u2028then?"), (4, "Why?"),
    ]  # fmt: skip
    assert all((q.id, q.input, q.problem) == (None, {}, None) for q in found)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv_keeps_its_other_columns(tmp_path: Path, mark: str) -> None:
    lines = [["topic", "id", " question ", ""], ["a", "7", '"Why, ""then""?\nAnd; who?"', "x"],
             ["", "", "", ""], ["b", "", "When?"]]  # fmt: skip
    found = read(tmp_path, "q.csv", "\r\n".join(mark.join(cells) for cells in lines))
    assert [(q.id, q.text) for q in found] == [("7", 'Why, "then"?\nAnd; who?'), (None, "When?")]
    assert [q.input for q in found] == [{"topic": "a", "column 4": "x"}, {"topic": "b"}]
    assert problems(found) == ["", ""]


def test_jsonl_keeps_its_other_fields(tmp_path: Path) -> None:
    rows = [{"question": "Why?", "id": 3, "deep": {"a": [1, None, "é"]}}, {"question": "é\nè"}]
    found = read(tmp_path, "q.jsonl", "\n\n".join(map(json.dumps, rows)))
    assert [(q.id, q.text, q.input) for q in found] == [
        (3, "Why?", {"deep": {"a": [1, None, "é"]}}), (None, "é\nè", {}),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["q.txt", "q.csv", "q.jsonl"])
def test_a_byte_order_mark_names_the_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    text = {"q.txt": "Où?\n", "q.csv": "question\nOù?\n", "q.jsonl": '{"question": "Où?"}'}[name]
    assert [q.text for q in read(tmp_path, name, text.encode(encoding))] == ["Où?"]


def test_a_bad_row_keeps_its_place(tmp_path: Path) -> None:
    lines = [
        b'{"question": "Why?", "id": "a"}',
        b'{"question": "Why?", "id": "a", "x": 1}',
        b'{"question": "torn',
        b'["Why?"]',
        b"{}",
        b'{"question": 7, "id": 1}',
        b'{"question": " "}',
        b'{"question": "Why?", "id": [1]}',
        b'{"question": "Why?", "id": true}',
        b'{"question": "Why\xff?", "id": "b\xff"}',
        b'{"question": "Why?", "x": "\\ud800"}',
        b'{"question": "Why?", "x": NaN}',
        b'{"question": "Why?", "x": 1e999}',
        b"[" * 100_000,
        b'{"question": "Why?", "x": ' + b"9" * 5000 + b"}",
        b'{"question": "Who?", "id": "1"}',
    ]
    found = read(tmp_path, "q.jsonl", b"\n".join(lines))
    reasons = [
        "", "its id stands in line 1 already", "it is not JSON", "no object", "it has no question",
        "no text but 7", "its question is empty", "its id is neither", "its id is neither",
        "not valid text", "not valid text", "a number", "a number", "it is not JSON",
        "it is not JSON", "",
    ]  # fmt: skip
    for line, (question, reason) in enumerate(zip(found, reasons, strict=True), 1):
        assert bool(question.problem) == bool(reason), line
        if question.problem:
            assert question.problem.message.startswith(f"line {line}: ")
            assert reason in question.problem.message
            assert question.problem.kind == "input"
        json.dumps([question.id, question.text, question.input], allow_nan=False).encode()
    assert (found[1].text, found[1].id, found[1].input) == ("Why?", "a", {"x": 1})
    assert (found[9].text, found[9].id) == ("Why??", "b?"), "as far as it can be read"


def test_a_bad_line_of_csv(tmp_path: Path) -> None:
    text = 'id,question\n1,Why, and how?\n2,"Why"?\n3\n4,Who?\n4,Who?\n'
    found = read(tmp_path, "q.csv", text.encode() + b"5,Caf\xe9?\n")
    wrong = problems(found)
    assert "line 2: it has 3 cells, the header 2" in wrong[0], (
        "cut at its comma it would be another"
    )
    assert "line 3: it is not CSV" in wrong[1]
    assert "line 4: it has no question" in wrong[2]
    assert (found[3].text, wrong[3]) == ("Who?", "")
    assert "its id stands in line 5 already" in wrong[4]
    assert "not valid text" in wrong[5]
    long = read(tmp_path, "long.csv", f"question,context\nWhy?,{'x' * 200_000}\n")
    assert len(long[0].input["context"]) == 200_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.txt", b"", "holds no question"),
        ("q.txt", b" \n\r\n", "holds no question"),
        ("q.jsonl", b"", "holds no question"),
        ("q.csv", b"", "is empty"),
        ("q.csv", b"id,question\n", "holds no question"),
        ("q.csv", b"id,text\n1,Why?\n", "its columns are: id, text"),
        ("q.csv", b"question,question\na,b\n", "two columns question"),
        ("q.csv", b'question\nWhy?\n"Who?\nWhen?\n', "line 3: a quotation mark"),
        ("q.txt", "Why?".encode("utf-16-le"), "binary, not text"),
        ("q.txt", b"\xff\xfeabc", "begins as utf-16"),
        ("q.pdf", b"%PDF-1.7", "are read from .txt, .csv, .jsonl files"),
    ],
)
def test_a_file_without_questions_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(InputUnreadable) as raised:
        read(tmp_path, name, content)
    assert message in raised.value.message
    assert raised.value.hint


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    for name, message in (("absent.txt", "No such file"), ("folder.txt", "is not a file")):
        with pytest.raises(InputUnreadable, match=message):
            read_questions(tmp_path / name)


def test_a_hundred_thousand_questions_are_read_in_seconds(tmp_path: Path) -> None:
    lines = (json.dumps({"id": n, "question": f"Why {n}?", "x": "y" * 50}) for n in range(100_000))
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    started = time.process_time()
    found = read_questions(tmp_path / "q.jsonl")
    assert time.process_time() - started < 15
    assert (len(found), found[-1].number, found[-1].text) == (100_000, 100_000, "Why 99999?")
