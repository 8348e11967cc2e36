"""``rag eval`` through the command line: reports, comparisons, gates, calibration."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command import invoke, run
from conftest import SEEDS, IndexBuilder
from schemas import ANSWER, REPORT, check

from rag.errors import UsageError
from rag.evaluation.metrics import NAMES

GOLD = SEEDS / "gold.jsonl"
DOCUMENT = "Pandas eat bamboo in China.\n\nThe audit found 12 faults in 2019.\n\nTigers eat meat."
QUOTE = "The audit found 12 faults in 2019."


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def asked(id_: str, answer: str | None = "12 faults", **more: Any) -> dict[str, Any]:
    row = {"id": id_, "type": "fact", "question": f"What did the audit find ({id_})?",
           "answer": answer, **more}  # fmt: skip
    if answer is not None and "sources" not in more:
        row |= {"facts": [["12"]], "sources": [{"document": "a.txt", "quote": QUOTE}]}
    return row


def reply(gold: dict[str, Any], text: str | None, **more: Any) -> dict[str, Any]:
    """A line of answers: one claim citing the audit's sentence, or a refusal."""
    start = DOCUMENT.index(QUOTE)
    place = {"document": "a.txt", "start": start, "end": start + len(QUOTE)}
    citation = {"label": 1, "title": "A", "page": None, "line_start": 3, "line_end": 3,
                "quote": QUOTE, **place}  # fmt: skip
    claim = {"text": text, "labels": [1], "verdict": "supported", "score": 0.9, "reason": ""}
    return {
        "schema": "rag.answer/1", "id": gold["id"], "question": gold["question"],
        "standalone_question": gold["question"],
        "status": "answered" if text else "unanswerable",
        "answer": f"{text} [1]." if text else "The documents do not answer this.",
        "claims": [claim] if text else [], "citations": [citation] if text else [],
        "retrieved": [{**place, "score": 0.5}], "dropped": [], "nearest": [],
        "answerability": 0.8 if text else 0.2, "error": None,
        "stats": {"retrieve_ms": 1, "first_token_ms": 2, "total_ms": 3, "prompt_tokens": 4,
                  "reused_tokens": 0, "answer_tokens": 5},
        "models": {"embedder": "hash", "llm": "extractive"}, "index_generation": 1, **more,
    }  # fmt: skip


@pytest.fixture
def index(tmp_path: Path, build: IndexBuilder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of one document, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(DOCUMENT)
    build(tmp_path / "docs")
    return tmp_path / "index"


def evaluated(*arguments: str, **env: str) -> dict[str, Any]:
    """The report of ``rag eval --json``, checked against its schema."""
    result = invoke("eval", *arguments, "--json", **env)
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    check(report, REPORT)
    return report


def test_retrieval_of_the_seeds_through_the_real_command_line(
    shared_index: Path, tmp_path: Path
) -> None:
    arguments = ("eval", str(GOLD), "--retrieval", "--index", str(shared_index))
    done = run(*arguments, "--json", "--report", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    check(report, REPORT)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert (tmp_path / "out" / "report.html").stat().st_size
    assert report["correctness"] is None
    assert set(report["metrics"]) == {name for name in NAMES if name.startswith("retrieval.")}
    assert {found["n"] for found in report["metrics"].values()} == {88}
    curve = [point["value"] for point in report["curves"]["recall"]]
    assert len(curve) == 20
    assert curve == sorted(curve)
    assert report["metrics"]["retrieval.recall@10"]["value"] == curve[9] > 0.5
    assert len(report["rows"]) == report["gold"]["questions"] == 126
    for row in report["rows"]:
        assert (row["retrieval"] is None) == (row["gold_answer"] is None)
        assert any(p["relevant"] for p in row["retrieved"]) or not row["retrieval"] or (
            row["retrieval"]["recall@10"] == 0
        )  # fmt: skip
    table = run(*arguments, cwd=tmp_path)
    assert table.returncode == 0
    assert len(table.stdout.splitlines()) == 7
    recall = report["metrics"]["retrieval.recall@1"]
    (line,) = [line for line in table.stdout.splitlines() if "recall@1 " in line]
    assert line.split() == ["retrieval.recall@1", f"{recall['value']:.3f}",
                            f"[{recall['low']:.3f},", f"{recall['high']:.3f}]", "88"]  # fmt: skip


def test_the_seeds_are_answered_once_and_scored_again(shared_index: Path, tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    lines = GOLD.read_text("utf-8").splitlines(keepends=True)
    gold.write_text("".join([*lines[:6], *lines[-4:]]), "utf-8")
    out = tmp_path / "report"
    common = (str(gold), "--index", str(shared_index), "--report", str(out))
    first = evaluated(*common, RAG_ANSWER_THRESHOLD="0")
    answers = (out / "answers.jsonl").read_bytes()
    kept = [json.loads(line) for line in answers.decode().splitlines()]
    for answer, row in zip(kept, first["rows"], strict=True):
        check(answer, ANSWER)
        assert (answer["id"], answer["status"]) == (row["id"], row["status"])
    assert set(first["metrics"]) == set(NAMES)
    assert first["metrics"]["citation.valid"]["value"] == 1.0
    assert first["metrics"]["answer.correct"]["value"] > 0
    texts = {path.name: path.read_bytes().decode() for path in SEEDS.glob("*.txt")}
    for row in first["rows"]:
        for citation in row["citations"]:
            text = texts[citation["document"]]
            around = citation["before"] + citation["quote"] + citation["after"]
            assert around in text
            assert "\n\n" not in citation["before"] + citation["after"]
    # A run that was cut off goes on; one that is whole is not answered again.
    (out / "answers.jsonl").write_bytes(b"".join(answers.splitlines(keepends=True)[:7]))
    again = evaluated(*common, RAG_ANSWER_THRESHOLD="0")
    whole = (out / "answers.jsonl").read_bytes()
    assert len(whole.splitlines()) == 10
    third = evaluated(*common, RAG_LLM="absent.gguf")
    assert (out / "answers.jsonl").read_bytes() == whole
    for report in (again, third):
        assert [r["correct"] for r in report["rows"]] == [r["correct"] for r in first["rows"]]


@pytest.fixture
def scored(index: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A gold set and answers: right, wrong, refused, failed; refused rightly, and wrongly not."""
    gold = [*(asked(f"a{n}") for n in range(4)), asked("u0", None), asked("u1", None)]
    failed = {"status": "error", "answer": "", "answerability": 0.0,
              "error": {"kind": "usage", "message": "too long", "hint": "ask less"}}  # fmt: skip
    answers = [
        reply(gold[0], "It found 12 faults"), reply(gold[1], "It found 120 faults in 2019"),
        reply(gold[2], None, dropped=[{"text": "It found\x1b[31m 12", "labels": [], "score": 0.1,
                                       "verdict": "unsupported", "reason": "no support"}]),
        reply(gold[3], None, **failed), reply(gold[4], None), reply(gold[5], "It found 12 faults"),
    ]  # fmt: skip
    return write(tmp_path / "gold.jsonl", gold), write(tmp_path / "answers.jsonl", answers)


def test_each_row_says_why_it_was_scored_so(scored: tuple[Path, Path]) -> None:
    gold, answers = map(str, scored)
    report = evaluated(gold, "--answers", answers)
    assert [row["why"] for row in report["rows"]] == [
        "Every fact is there.",
        "Missing 1 of 1 facts: “12”.",
        "Refused, although the documents answer it.",
        "It failed: too long.",
        "Refused, as it should be.",
        "Answered, although the documents do not answer it.",
    ]
    assert [row["correct"] for row in report["rows"]] == [True, False, False, False, None, None]
    assert [row["citation"] and sorted(row["citation"]) for row in report["rows"]] == [
        ["precision", "recall", "valid"], ["precision", "recall", "valid"], None, None, None,
        ["valid"],
    ]  # fmt: skip
    values = {name: found["value"] for name, found in report["metrics"].items()}
    assert values["answer.correct"] == 0.25
    assert values["refusal.false"] == values["refusal.recall"] == 0.5
    assert values["citation.precision"] == pytest.approx(2 / 3), "the failed one cited nothing"
    assert report["by_type"]["fact"]["n"] == 6
    assert report["by_type"]["fact"]["refused"]["value"] == pytest.approx(2 / 6)
    curve = {point["threshold"]: point for point in report["curves"]["refusal"]}
    assert curve[0.8] == {"threshold": 0.8, "recall": 0.5, "false": 0.5, "correct": 0.25}
    assert curve[0.85] == {"threshold": 0.85, "recall": 1.0, "false": 1.0, "correct": 0.0}

    text = invoke("eval", gold, "--answers", answers, "--failures").stdout
    assert "1 of 6 questions failed" in text
    listed = [line.split(" ")[0] for line in text.splitlines() if "(fact)" in line]
    assert listed == ["a1", "a2", "a3", "u1"]
    assert "withheld It found[31m 12 (no support)" in text
    assert "\x1b" not in text


def test_without_facts_it_is_token_f1_and_says_so(index: Path, tmp_path: Path) -> None:
    source = [{"document": "a.txt", "quote": QUOTE}]
    rows = [asked("a", "12 faults in 2019", sources=source), asked("b", "blue", sources=source)]
    gold = write(tmp_path / "gold.jsonl", rows)
    out = write(tmp_path / "out.jsonl", [reply(row, "12 faults in 2019") for row in rows])
    common = (str(gold), "--answers", str(out))
    report = evaluated(*common)
    assert (report["correctness"], [r["correct"] for r in report["rows"]]) == ("f1", [True, False])
    assert "token F1 against the reference is 0.00" in report["rows"][1]["why"]
    assert "no facts" in invoke("eval", *common).stdout
    rows[1]["facts"] = [["2019"]]
    write(gold, rows)
    assert evaluated(*common)["correctness"] == "mixed"


def test_a_baseline_is_compared_question_by_question(
    scored: tuple[Path, Path], tmp_path: Path
) -> None:
    gold, answers = scored
    evaluated(str(gold), "--answers", str(answers), "--report", "before")
    rows = [json.loads(line) for line in gold.read_text().splitlines()]
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    lines[2] = reply(rows[2], "It found 12 faults")
    lines[4] = reply(rows[4], "It found 12 faults")
    now = write(tmp_path / "now.jsonl", lines)
    arguments = (str(gold), "--answers", str(now), "--baseline")
    for place in ("before", "before/report.json"):
        found = evaluated(*arguments, place)["baseline"]
        assert (found["paired"], found["same_gold"]) == (6, True)
        assert found["mcnemar"] == {"gained": 1, "lost": 1, "p": 1.0}
        assert [(flip["id"], flip["now"]) for flip in found["flipped"]] == [
            ("a2", "right"), ("u0", "wrong"),
        ]  # fmt: skip
        assert found["flipped"][0]["why_before"].startswith("Refused")
        assert found["differences"]["answer.correct"]["value"] == 0.25
        assert found["differences"]["refusal.recall"]["value"] == -0.5
    text = invoke("eval", *arguments, "before").stdout
    assert "now right 1, now wrong 1 (McNemar, exact: p = 1)" in text
    assert "now wrong: u0" in text
    # Only questions that both have are compared.
    write(gold, rows[:3])
    write(now, lines[:3])
    found = evaluated(*arguments, "before")["baseline"]
    assert (found["paired"], found["same_gold"]) == (3, False)
    retrieval = evaluated(str(gold), "--retrieval", "--baseline", "before")["baseline"]
    assert retrieval["mcnemar"] is None
    assert "retrieval.mrr" in retrieval["differences"]


@pytest.mark.parametrize(
    ("gate", "code", "told"),
    [
        ('"answer.correct" = 0.25\n"refusal.false" = {max = 0.5}', 0, "thresholds met: 2 of 2"),
        ("answer.correct = 0.25", 0, "thresholds met: 1 of 1"),
        ('"answer.correct" = 0.26', 1, "0.250, 0.010 below the minimum of 0.260 (the interval re"),
        ('"answer.correct" = 0.9', 1, "0.650 below the minimum of 0.900 (the whole interval is b"),
        ('"refusal.false" = {max = 0.4}', 1, "0.100 above the maximum of 0.400"),
        ('"latency.total_ms.p95" = {max = 2}', 1, "is 3, 1 above the maximum of 2 (the whole"),
        ('"retrieval.mrr" = {min = 0.5, max = 0.9}', 1, "1.000, 0.100 above the maximum"),
    ],
)
def test_a_gate_decides_the_exit_code(
    gate: str, code: int, told: str, scored: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "gate.toml").write_text(gate)
    arguments = (*map(str, (scored[0], "--answers", scored[1])), "--gate", "gate.toml")
    result = invoke("eval", *arguments)
    assert (result.exit_code, told in result.stdout) == (code, True), result.stdout
    as_json = invoke("eval", *arguments, "--json")
    assert as_json.exit_code == code
    assert len(json.loads(as_json.stdout)["gate"]) == code


def test_a_gate_fails_in_a_process_of_its_own_and_where_there_is_nothing_to_count(
    scored: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "gate.toml").write_text('"refusal.recall" = 0.5')
    rows = scored[0].read_text().splitlines(keepends=True)[:4]
    scored[0].write_text("".join(rows))
    lines = scored[1].read_text().splitlines(keepends=True)[:4]
    scored[1].write_text("".join(lines))
    arguments = (*map(str, (scored[0], "--answers", scored[1])), "--gate", "gate.toml")
    done = run("eval", *arguments, "--report", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "report: out/report.html\n")
    assert "refusal.recall has no value" in done.stdout
    assert (tmp_path / "out" / "report.json").exists()


def sure(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers with a threshold of 0: 0.1, 0.2, ... for unanswerable rows, 0.5 and up for others."""
    return [
        reply(row, "It found 12 faults",
              answerability=(0.05 if row["answer"] is None else 0.5) + n / 100)
        for n, row in enumerate(rows)
    ]  # fmt: skip


def test_calibration_writes_the_threshold_and_the_next_run_reads_it(
    index: Path, tmp_path: Path
) -> None:
    rows = [asked(f"a{n}") for n in range(22)] + [asked(f"u{n}", None) for n in range(22)]
    gold = write(tmp_path / "gold.jsonl", rows)
    answers = sure(rows)  # answerable 0.50 to 0.71, unanswerable 0.27 to 0.48
    write(tmp_path / "out.jsonl", answers)
    config = tmp_path / "rag.toml"
    before = "# mine\nevidence = 8 # few\nanswer_threshold = 0.01   # by hand\npassages = 20\n"
    config.write_text(before)
    arguments = ("eval", "gold.jsonl", "--answers", "out.jsonl", "--calibrate")
    result = invoke(*arguments)
    assert result.exit_code == 0, result.exception
    assert "threshold  unanswerable refused" in result.stdout
    assert "answer_threshold = 0.49 written to rag.toml: refuses 100% of 22" in result.stdout
    assert "noise" not in result.stdout
    lines = config.read_text().splitlines()
    assert lines[:2] == ["# mine", "evidence = 8 # few"]
    assert lines[2].startswith("# rag eval --calibrate: gold.jsonl (sha256 ")
    assert "n = 22 answerable + 22 unanswerable, 20" in lines[2]
    assert lines[3:] == ["answer_threshold = 0.49 # by hand", "passages = 20"]
    report = evaluated(*arguments[1:])
    assert report["calibration"]["threshold"] == 0.49
    assert report["settings"]["answer_threshold"] == 0.0
    assert len(config.read_text().splitlines()) == 5, "the note is replaced, not added to"
    question = "What did the audit find?"
    confident = json.loads(invoke("ask", question, "--json").stdout)["answerability"]
    tomllib.loads(config.read_text())
    config.write_text(config.read_text().replace("0.49", "0.0"))
    assert json.loads(invoke("ask", question, "--json").stdout)["status"] == "answered"
    assert confident < 0.49, "so that the threshold is what refuses"
    write(tmp_path / "out.jsonl", answers)
    assert invoke(*arguments).exit_code == 0
    assert json.loads(invoke("ask", question, "--json").stdout)["status"] == "unanswerable"
    assert gold.exists()
    before = config.read_text()
    found = invoke(*arguments[:2], "-o", "out.jsonl", "--calibrate", "--config", "new.toml")
    assert found.exit_code == 0, found.exception
    written = (tmp_path / "new.toml").read_text()
    assert written.splitlines()[1:] == ["answer_threshold = 0.49"], "and nothing of another file"
    assert config.read_text() == before
    again = invoke(*arguments[:2], "-o", "out.jsonl", "--config", "newer.toml").exception
    assert isinstance(again, UsageError), "only what is written may be new"


def test_calibration_on_few_questions_is_called_noise(index: Path, tmp_path: Path) -> None:
    rows = [asked("a"), asked("b"), asked("u", None)]
    write(tmp_path / "gold.jsonl", rows)
    write(tmp_path / "out.jsonl", sure(rows))
    result = invoke("eval", "gold.jsonl", "--answers", "out.jsonl", "--calibrate")
    assert result.exit_code == 0
    assert "this choice is noise" in result.stdout
    assert "95% interval" in result.stdout
    assert tomllib.loads((tmp_path / "rag.toml").read_text()) == {"answer_threshold": 0.29}
    write(tmp_path / "out.jsonl", [reply(row, None) for row in rows])
    (tmp_path / "rag.toml").unlink()
    refused = invoke("eval", "gold.jsonl", "--answers", "out.jsonl", "--calibrate")
    assert isinstance(refused.exception, UsageError)
    assert "at 0 it is 100%" in refused.exception.message
    assert "unanswerable refused" in refused.stdout, "the trade-off is shown all the same"
    assert not (tmp_path / "rag.toml").exists()


def test_a_copy_counts_as_its_document(index: Path, tmp_path: Path, build: IndexBuilder) -> None:
    gold = asked("q1")
    write(tmp_path / "gold.jsonl", [gold])
    write(tmp_path / "answers.jsonl", [reply(gold, "The audit found 12 faults")])
    found = []
    for copied in (False, True):
        if copied:  # under a name that comes first, and is the one that is found and cited
            (tmp_path / "docs" / "0.txt").write_text(DOCUMENT)
            build(tmp_path / "docs")
        for how in (["--answers", "answers.jsonl"], ["--retrieval"]):
            report = evaluated("gold.jsonl", *how, "--index", str(index))
            found.append({name: one and one["value"] for name, one in report["metrics"].items()})
    before, after = found[:2], found[2:]
    assert before == after
    assert before[0]["citation.precision"] == before[0]["citation.recall"] == 1
    assert before[1]["retrieval.recall@1"] == 1
