"""Judges of answers: a model here, a model behind a URL, and what is made of what they say."""

from __future__ import annotations

import fcntl
import json
import resource
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command import invoke
from conftest import IndexBuilder
from schemas import JUDGE, REPORT, check
from sklearn.metrics import cohen_kappa_score
from test_compose import HOSTILE, Recording, read_back
from test_eval import DOCUMENT, asked, reply, write

from rag.answers.compose import compose_grading, grading_messages, prompts_digest
from rag.backends.endpoint import Endpoint, NoReply, open_endpoint
from rag.backends.endpoint import reply as said_by
from rag.errors import IndexBusy, ModelUnusable, OutOfResources, RagError, UsageError
from rag.evaluation import metrics
from rag.evaluation.judges import Judge, Judgement, grade, local_judge, read_reply, remote_judge
from rag.evaluation.judging import NOTE, judge_rows, judgements_file
from rag.records import Prompt

KEY = "sk-secret-4711"
MESSAGES = grading_messages("Why?", "It is so.", "So it is.")


class Odds(Recording):
    """Finds an answer correct if it holds the number 12, and counts how often it is asked."""

    def __init__(self, odds: float = 3.0) -> None:
        super().__init__()
        self.odds, self.read_prompts = odds, list[str]()

    def judge(self, prompt: Prompt, yes: str, no: str) -> float:
        assert (yes, no) == ("yes", "no")
        text = read_back(prompt)
        self.read_prompts.append(text)
        answer = text.rsplit("Given answer: ", 1)[1].split("\n")[0]
        return self.odds if "12" in answer.split() else -self.odds


# -- the prompt ---------------------------------------------------------------------------------


def test_what_is_judged_never_becomes_a_control_token() -> None:
    plain, hostile = Recording(), Recording()
    good = compose_grading("Why?", "It is so.", "So it is.", generator=plain)
    bad = compose_grading(f"Why? {HOSTILE}", HOSTILE, HOSTILE, generator=hostile)
    assert bad.tokens.count(0) == good.tokens.count(0) > 0
    assert {t for t, special in hostile.calls if special} == {t for t, s in plain.calls if s}
    assert read_back(bad).count("\n") == read_back(good).count("\n"), "each stays on its line"
    assert bad.pieces[0] == good.pieces[0], "the worked examples are read once"
    chat = grading_messages(HOSTILE, HOSTILE, HOSTILE)
    assert [m["role"] for m in chat] == [m["role"] for m in MESSAGES]
    assert chat[:-1] == MESSAGES[:-1]
    assert chat[-1]["content"].count("\n") == MESSAGES[-1]["content"].count("\n")
    assert chat[-1]["content"].count("$question ${evidence} $$5 {0} %s") == 3


def test_the_worked_examples_are_of_both_outcomes_and_change_no_answers() -> None:
    told = [m["content"] for m in MESSAGES if m["role"] == "assistant"]
    assert told.count("yes") == told.count("no") >= 2
    assert "$30 million" in MESSAGES[3]["content"]
    assert (
        prompts_digest()
        == prompts_digest("answer", "description", "judge", "rerank")
        != prompts_digest("grade")
    )


# -- the local judge ----------------------------------------------------------------------------


def test_the_score_is_the_probability_of_yes() -> None:
    for odds, score in ((0.0, 0.5), (2.0, 0.8808), (-2.0, 0.1192), (5000.0, 1.0), (-5000.0, 0.0)):
        found = grade("Why?", "so", "12 of them", generator=Odds(odds))
        assert found.score == pytest.approx(score, abs=1e-4)
        assert (found.correct, found.failed) == (score >= 0.5, "")


def test_what_does_not_fit_is_a_failed_judgement() -> None:
    class Full(Odds):
        def judge(self, prompt: Prompt, yes: str, no: str) -> float:
            raise ValueError("a judgement of 3000 tokens in 2048")

    found = grade("Why?", "so", "x", generator=Full())
    assert (found.correct, found.score) == (False, None)
    assert "3000 tokens" in found.failed


# -- a judge behind a URL -----------------------------------------------------------------------

Reaction = tuple[int, str | dict[str, Any]] | Callable[[], tuple[int, str]]


class Server:
    """Answers with what is next in its script, the last again and again; keeps what was asked."""

    def __init__(self) -> None:
        self.script: list[Reaction] = [(200, completion("yes"))]
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.headers: dict[str, str] = {}
        self.drip = 0  # bytes at a time; 0 sends all at once
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.asked.append(json.loads(body))
                server.keys.append(self.headers["Authorization"])
                server.paths.append(self.path)
                step = server.script.pop(0) if len(server.script) > 1 else server.script[0]
                status, text = step() if callable(step) else step
                data = (text if isinstance(text, str) else json.dumps(text)).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    for name, value in server.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    for at in range(0, len(data), server.drip or len(data) or 1):
                        self.wfile.write(data[at : at + server.drip] if server.drip else data)
                        time.sleep(0.05 if server.drip else 0)
                except OSError:
                    pass  # who asked did not wait

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def completion(text: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}], "model": "m"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    yield running
    running.close()


def at(server: Server, **more: Any) -> Endpoint:
    return replace(open_endpoint(server.url, "grader", KEY), backoff=0.01, **more)


def test_a_server_is_asked_as_openai_does_it(server: Server) -> None:
    assert said_by(at(server), MESSAGES, max_tokens=8) == "yes"
    assert server.asked == [
        {"messages": MESSAGES, "temperature": 0, "max_tokens": 8, "model": "grader"}
    ]
    assert (server.keys, server.paths) == ([f"Bearer {KEY}"], ["/v1/chat/completions"])
    said_by(open_endpoint(f"{server.url}/chat/completions/", "", ""), MESSAGES, max_tokens=8)
    assert "model" not in server.asked[1]
    assert (server.keys[1], server.paths[1]) == (None, "/v1/chat/completions")
    assert KEY not in repr(at(server))


@pytest.mark.parametrize(
    ("text", "correct"),
    [("yes", True), ("Yes.", True), (" **No**, it", False), ("NO", False), ('"yes"', True)],
)
def test_the_first_word_of_a_reply_is_the_judgement(text: str, correct: bool) -> None:
    assert read_reply(text) == Judgement(correct, float(correct))


@pytest.mark.parametrize("text", ["", "nope", "yesterday", "I think yes", "." * 10**6, "\x00"])
def test_any_other_reply_is_a_failed_judgement(text: str) -> None:
    found = read_reply(text)
    assert (found.correct, found.score) == (False, None)
    assert found.failed.startswith("neither yes nor no")
    assert len(found.failed) < 100


@pytest.mark.parametrize(
    "body",
    ["<html>", "[]", "{}", '{"choices": []}', completion(None), completion(["yes"]), "[" * 10**5],
)
def test_what_is_no_chat_completion_is_a_failed_judgement(
    body: str | dict[str, Any], server: Server
) -> None:
    server.script = [(200, body)]
    found = remote_judge(at(server)).open()("Why?", "so", "x")
    assert not found.correct
    assert found.failed
    assert len(server.asked) == 1


def test_a_request_that_is_refused_is_a_failed_judgement_that_shows_no_key(server: Server) -> None:
    server.script = [(400, f"too long\n for {KEY}" + "x" * 9999)]
    with pytest.raises(NoReply, match=r"^status 400: too long for …xxx") as caught:
        said_by(at(server), MESSAGES, max_tokens=8)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("status", [429, 500, 503])
def test_overload_is_tried_again(status: int, server: Server) -> None:
    server.script = [(status, "busy"), (status, "busy"), (200, completion("no"))]
    assert said_by(at(server), MESSAGES, max_tokens=8) == "no"
    assert len(server.asked) == 3
    server.script = [(status, f"busy, {KEY}")]
    with pytest.raises(ModelUnusable, match=f"keeps failing .status {status}.: busy, …") as caught:
        said_by(at(server), MESSAGES, max_tokens=8)
    assert len(server.asked) == 3 + 4
    assert "goes on where it stopped" in caught.value.hint


def test_the_wait_that_a_server_asks_for_is_kept(server: Server) -> None:
    server.script, server.headers = [(429, ""), (200, completion("no"))], {"Retry-After": "1"}
    began = time.monotonic()
    said_by(at(server), MESSAGES, max_tokens=8)
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (401, "refuses the key", "RAG_JUDGE_KEY"),
        (403, "refuses the key", "RAG_JUDGE_KEY"),
        (404, "no such model or address", "--judge-model"),
        (302, "from another address", "address"),
    ],
)
def test_what_the_user_can_mend_stops_the_run(
    status: int, message: str, hint: str, server: Server
) -> None:
    server.script = [(status, f"{KEY}")]
    server.headers = {"Location": f"{server.url}/elsewhere"}
    with pytest.raises(ModelUnusable, match=message) as caught:
        said_by(at(server), MESSAGES, max_tokens=8)
    assert hint in caught.value.hint
    assert KEY not in caught.value.message + caught.value.hint
    assert len(server.asked) == 1, "the key goes nowhere else"


def test_a_server_that_is_silent_or_not_there_or_drips(server: Server) -> None:
    pause = threading.Event()
    server.script = [lambda: (200, "" if pause.wait(5) else "late")]
    began = time.monotonic()
    with pytest.raises(ModelUnusable, match=r"no answer within 0\.2 s") as caught:
        said_by(at(server, timeout=0.2), MESSAGES, max_tokens=8)
    assert time.monotonic() - began < 3
    assert "goes on where it stopped" in caught.value.hint
    pause.set()
    server.script, server.drip = [(200, completion("yes"))], 2
    with pytest.raises(ModelUnusable, match=r"no answer within 0\.2 s"):
        said_by(at(server, timeout=0.2), MESSAGES, max_tokens=8)
    assert time.monotonic() - began < 3
    with pytest.raises(ModelUnusable, match=r"cannot be reached: .*refused"):
        said_by(open_endpoint("http://127.0.0.1:9/v1", "", ""), MESSAGES, max_tokens=8)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("ftp://host/v1", ""), ("file:///etc/passwd", ""), ("Local", ""), ("", ""),
        ("http://", ""), ("http://[::1", ""), ("http://host:99999/", ""), ("http://ho st/", ""),
        ("http://me:pw@host/v1", ""), ("https://host/v1?key=pw", ""), ("http://host/\x1b[2J", ""),
        ("http://host/v1", "two\nlines"), ("http://host/v1", "clé"),
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused_without_showing_secrets(url: str, key: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_endpoint(url, "m", key)
    for secret in ("pw", "lines", "clé", "\x1b"):
        assert secret not in caught.value.message + caught.value.hint


# -- judgements of rows -------------------------------------------------------------------------


def row(id_: str, answer: str = "It found 12 faults [1].", **more: Any) -> dict[str, Any]:
    return {"id": id_, "question": f"What did {id_} find?", "gold_answer": "12 faults",
            "status": "answered", "answer": answer, "correct": True, **more}  # fmt: skip


def counting(generator: Odds) -> Judge:
    return local_judge("odd", lambda: generator)


def test_only_answers_with_a_reference_are_judged_and_the_rest_is_counted(tmp_path: Path) -> None:
    rows = [
        row("a"), row("b", "None [12]."), row("c", status="unanswerable", correct=False),
        row("d", status="error", correct=False), row("u", gold_answer=None, correct=None),
        row("e", "It found 12 of them", correct=False),
    ]  # fmt: skip
    generator, told = Odds(), list[tuple[int, int]]()
    found = judge_rows(rows, counting(generator), file=tmp_path / "j", progress=lambda *at: told.append(at))  # fmt: skip  # noqa: E501
    check(found, JUDGE)
    assert [r["judge"] and r["judge"]["correct"] for r in rows] == [
        True, False, None, None, None, True,
    ]  # fmt: skip
    assert rows[0]["judge"] == {
        "correct": True, "score": pytest.approx(0.9526, abs=1e-4), "failed": "", "model": "odd",
    }  # fmt: skip
    values = {name: (m["value"], m["n"]) for name, m in found["metrics"].items()}
    assert values == {
        "judge.correct": (0.4, 5), "judge.agreement": (pytest.approx(1 / 3), 3),
        "judge.failed": (0.0, 3),
    }  # fmt: skip
    assert (found["model"], found["note"], found["judged"], found["failed"]) == ("odd", NOTE, 3, 0)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert "[1]" not in generator.read_prompts[0], "labels are no part of an answer"
    assert len(generator.read_prompts) == 3


def test_agreement_beyond_chance_is_that_of_scikit_learn() -> None:
    def kappa(pairs: list[tuple[bool, bool]]) -> float | None:
        return metrics.kappa([
            row(str(n), correct=right, judge={"correct": said, "failed": ""})
            for n, (said, right) in enumerate(pairs)
        ])  # fmt: skip

    both = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    theirs = cohen_kappa_score([a for a, _ in both], [b for _, b in both])
    assert kappa(both) == pytest.approx(theirs) == pytest.approx(0.4)
    assert kappa([(True, False), (False, True)]) == pytest.approx(-1)
    assert kappa([(True, True)] * 3) is None
    assert kappa([]) is None
    failed = row("x", judge={"correct": False, "failed": "silent"})
    assert metrics.kappa([failed, row("y", judge=None)]) is None
    assert metrics.judged([failed])["judge.failed"].value == 1
    assert metrics.judged([failed])["judge.agreement"].value is None
    assert metrics.judged([failed])["judge.correct"].value == 0


def silent(*_: int) -> None:
    """Progress that nobody looks at."""


def test_a_run_that_is_stopped_goes_on(tmp_path: Path) -> None:
    file, rows = tmp_path / "out.judgements.jsonl", [row(f"r{n}") for n in range(6)]
    assert judgements_file(tmp_path / "out") == file

    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_rows(rows, counting(Odds()), file=file, progress=stop)
    whole = file.read_bytes()
    assert len(whole.splitlines()) == 3
    assert {json.loads(line)["schema"] for line in whole.splitlines()} == {"rag.judgement/1"}
    # A kill may tear the last line, a loss of power may leave zeros.
    for torn in (b'{"sch', whole.splitlines()[0][:90], b"\x00\x00"):
        file.write_bytes(whole + torn)
        generator, told = Odds(), list[int]()
        judge_rows(rows, counting(generator), file=file, progress=lambda n, _, to=told: to.append(n))  # type: ignore[misc]  # fmt: skip  # noqa: E501
        assert (len(generator.read_prompts), told) == (3, [3, 4, 5, 6])
        assert len({json.loads(line)["id"] for line in file.read_bytes().splitlines()}) == 6
        again = Odds()
        found = judge_rows(rows, counting(again), file=file, progress=silent)
        assert not again.read_prompts, "nothing is left to judge"
        assert found["metrics"]["judge.correct"]["value"] == 1


def test_a_judgement_is_of_this_question_reference_answer_and_judge_alone(tmp_path: Path) -> None:
    def asked_for(one: dict[str, Any], judge: str = "odd") -> int:
        generator = Odds()
        judge_rows([one], local_judge(judge, lambda: generator), file=tmp_path / "j", progress=silent)  # fmt: skip  # noqa: E501
        return len(generator.read_prompts)

    assert (asked_for(row("a")), asked_for(row("a"))) == (1, 0)
    assert asked_for(row("a", "It found 12 faults [2].")) == 0, "only the label differs"
    for other in (row("b"), row("a", "It found 13 faults."), row("a", gold_answer="13"),
                  row("a", question="Why?"), row("\udc80")):  # fmt: skip
        assert (asked_for(other), asked_for(other)) == (1, 0)
    assert asked_for(row("a"), "other") == 1
    assert asked_for(row("a")) == 0


def test_the_file_is_refused_where_it_holds_something_else_or_is_in_use(tmp_path: Path) -> None:
    file = tmp_path / "j"
    sound = b'{"schema": "rag.judgement/1", "id": "a", "digest": "d", "judge": "j", "correct": true'
    for held in (b"mine", b"{}\n", b"\n", sound + b', "score": null}\n', sound + b"}\n", b"[" * 10**5):  # fmt: skip  # noqa: E501
        file.write_bytes(held)
        with pytest.raises(UsageError, match="line 1 is no judgement"):
            judge_rows([row("a")], counting(Odds()), file=file, progress=silent)
        assert file.read_bytes() == held
    file.unlink()
    with file.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(IndexBusy):
            judge_rows([row("a")], counting(Odds()), file=file, progress=silent)
    with pytest.raises(UsageError, match="cannot be written"):
        judge_rows([row("a")], counting(Odds()), file=tmp_path / "no" / "j", progress=silent)


def test_a_full_disk_keeps_whole_judgements(tmp_path: Path) -> None:
    file, rows = tmp_path / "j", [row(f"r{n}") for n in range(4)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(OutOfResources, match="cannot be written"):
            judge_rows(rows, counting(Odds()), file=file, progress=silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = [json.loads(line)["id"] for line in file.read_bytes().splitlines()]
    assert kept == [f"r{n}" for n in range(len(kept))]
    assert 0 < len(kept) < 4
    generator = Odds()
    judge_rows(rows, counting(generator), file=file, progress=silent)
    assert len(generator.read_prompts) == 4 - len(kept)


def test_failed_judgements_are_asked_for_again_and_hopeless_judges_stop(
    tmp_path: Path, server: Server
) -> None:
    rows, judge, file = [row(f"r{n}") for n in range(7)], remote_judge(at(server)), tmp_path / "j"
    server.script = [(200, completion("As an AI"))]
    with pytest.raises(ModelUnusable, match=r"first 5 judgements all failed.*“As an AI”"):
        judge_rows(rows, judge, file=file, progress=silent)
    assert len(server.asked) == 5
    server.script = [(200, completion("yes")), (200, completion("As an AI"))]
    found = judge_rows(rows, judge, file=file, progress=silent)
    assert (found["judged"], found["failed"], len(file.read_bytes().splitlines())) == (7, 6, 1)
    assert found["metrics"]["judge.failed"]["value"] == pytest.approx(6 / 7)
    assert found["metrics"]["judge.correct"]["value"] == pytest.approx(1 / 7)
    server.script = [(200, completion("yes"))]
    assert judge_rows(rows, judge, file=file, progress=silent)["failed"] == 0
    assert len(server.asked) == 5 + 7 + 6


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def scored(
    tmp_path: Path, build: IndexBuilder, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str, str]:
    """Arguments for a gold set and answers: right, wrong, refused; refused rightly."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(DOCUMENT)
    build(tmp_path / "docs")
    gold = [asked("a0"), asked("a1"), asked("a2"), asked("u0", None)]
    texts = ("It found 12 faults", "It found 120 faults", None, None)
    answers = [reply(one, text) for one, text in zip(gold, texts, strict=True)]
    write(tmp_path / "gold.jsonl", gold)
    write(tmp_path / "answers.jsonl", answers)
    return "gold.jsonl", "--answers", "answers.jsonl"


def judged(server: Server, *arguments: str, **env: str) -> Any:
    model = ("--judge-model", "<b>grader</b>\x1b[2J")
    env = {"RAG_OFFLINE": "0", "RAG_JUDGE_KEY": KEY, **env}
    return invoke("eval", *arguments, "--judge", server.url, *model, **env)


def test_a_judge_stands_apart_in_every_form_of_the_report(
    scored: tuple[str, ...], server: Server, tmp_path: Path
) -> None:
    server.script = [(200, completion(word)) for word in ("yes", "<i>maybe</i>")]
    plain = json.loads(invoke("eval", *scored, "--json").stdout)
    result = judged(server, *scored, "--json", "--report", "out")
    assert result.exit_code == 0, result.exception
    report = json.loads(result.stdout)
    check(report, REPORT)
    check(report["judge"], JUDGE)
    assert report["metrics"] == plain["metrics"], "no other figure knows of it"
    assert "judge" not in plain
    said = [r["judge"] and (r["judge"]["correct"], r["judge"]["score"]) for r in report["rows"]]
    assert said == [(True, 1.0), (False, None), None, None]
    values = {name: m["value"] for name, m in report["judge"]["metrics"].items()}
    assert values == {
        "judge.correct": pytest.approx(1 / 3), "judge.agreement": 1.0, "judge.failed": 0.5,
    }  # fmt: skip
    assert "they leave this machine" in result.stderr
    assert server.url in result.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Judged by <bdi>&lt;b&gt;grader&lt;/b&gt;[2J</bdi>" in page
    assert NOTE.replace("'", "&#39;") in page
    assert "the judge says: correct (probability of yes 1.00)" in page
    assert "no judgement: neither yes nor no: “&lt;i&gt;maybe&lt;/i&gt;”" in page
    for file in tmp_path.rglob("*.json*"):
        assert KEY not in file.read_text()
    assert KEY not in page + result.stdout + result.stderr
    assert (tmp_path / "answers.jsonl.judgements.jsonl").exists()

    server.script = [(200, completion("no"))]
    before = len(server.asked)
    text = judged(server, *scored).stdout
    assert len(server.asked) == before + 1, "what is kept is not asked for again"
    table, block = text.split("\n\njudge: ")
    assert "judge." not in table
    assert block.startswith(f"<b>grader</b>[2J\n{NOTE}\n")
    assert "judge.correct                    0.333" in block
    assert "kappa = 1.00" in block
    assert "failed, and count as wrong" not in block


def test_baseline_and_gate_use_what_a_judge_said_where_both_have_it(
    scored: tuple[str, ...], server: Server, tmp_path: Path
) -> None:
    assert judged(server, *scored, "--report", "before").exit_code == 0
    (tmp_path / "answers.jsonl.judgements.jsonl").unlink()
    server.script = [(200, completion("no"))]
    common = (*scored, "--baseline", "before", "--json")
    found = json.loads(judged(server, *common).stdout)["baseline"]
    assert found["same_judge"] is True
    assert found["differences"]["judge.correct"]["value"] == pytest.approx(-2 / 3)
    assert found["flipped"] == []
    alone = json.loads(invoke("eval", *common).stdout)["baseline"]
    assert alone["same_judge"] is None
    assert not [name for name in alone["differences"] if name.startswith("judge")]
    other = ("--judge", server.url, "--judge-model", "other")
    differs = invoke("eval", *scored, "--baseline", "before", *other, RAG_OFFLINE="0").stdout
    assert "their judges differ and are not compared" in differs

    (tmp_path / "gate.toml").write_text('"judge.correct" = 0.5\n"judge.failed" = {max = 0}')
    missed = judged(server, *scored, "--gate", "gate.toml")
    assert missed.exit_code == 1
    assert "judge.correct is 0.000, 0.500 below the minimum" in missed.stdout
    assert "gate: 1 of 2" in missed.stdout
    unasked = invoke("eval", *scored, "--gate", "gate.toml")
    assert "judge.correct has no value" in unasked.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--judge", "local"), "extractive backend has no language model and cannot judge"),
        (("--judge", "http://127.0.0.1:9/v1"), "offline, no judge"),
        (("--judge", "nobody"), "neither local nor the URL"),
        (("--judge", "local", "--judge-model", "m"), "--judge-model names a model of an endpoint"),
        (("--judge-model", "m"), "--judge-model names a model of an endpoint"),
        (("--judge", "local", "--retrieval", "--llm", "absent.gguf"), "--failures and --judge"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_said_before_anything_is_done(
    arguments: tuple[str, ...], message: str, scored: tuple[str, ...], tmp_path: Path
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    result = invoke("eval", scored[0], *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in result.exception.message
    assert result.exception.hint
    assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_key_is_no_setting(scored: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text(f'judge_key = "{KEY}"')
    result = invoke("eval", *scored)
    assert isinstance(result.exception, UsageError)
    assert "unknown setting judge_key" in result.exception.message
    (tmp_path / "rag.toml").unlink()
    assert invoke("eval", *scored, RAG_JUDGE_KEY=KEY).exit_code == 0
    wrong = invoke("eval", *scored, RAG_JUDGE_KEYS=KEY)
    assert isinstance(wrong.exception, RagError), "a slip is still told"


def test_a_key_that_is_refused_ends_the_run_and_loses_nothing(
    scored: tuple[str, ...], server: Server
) -> None:
    server.script = [(200, completion("yes")), (401, "no")]
    result = judged(server, *scored)
    assert isinstance(result.exception, ModelUnusable)
    assert result.exception.exit_code == 5
    assert KEY not in result.exception.message
    server.script = [(200, completion("yes"))]
    assert judged(server, *scored).exit_code == 0
    assert len(server.asked) == 3, "one, one that was refused, and that one again"
