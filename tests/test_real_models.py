"""The real embedder and the real language model: what quality and safety claims rest on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import REAL_MODELS, SEEDS

from rag.answering import Engine
from rag.answers.compose import (
    ANSWER_OPENING,
    JUDGEMENT,
    compose,
    compose_description,
    compose_judgement,
    compose_reranking,
)
from rag.answers.rerank import Reranked, rerank
from rag.backends import fetch, models
from rag.backends.embed import TransformerEmbedder
from rag.backends.generate import LlamaGenerator
from rag.commands.opening import Consent, open_engine
from rag.config import load
from rag.indexing import build_index
from rag.records import DocumentInfo, Evidence, Prompt
from rag.retrieval.evidence import select_evidence
from rag.storage.dense import open_dense
from rag.storage.store import open_index

pytestmark = pytest.mark.models
CONSENT = Consent(may_fetch=lambda *_: True, progress=lambda *_: None, say=print)


def model(name: str, kind: models.Kind) -> Path:
    return models.locate(name, folder=REAL_MODELS, kind=kind)


@pytest.fixture(scope="module")
def embedder() -> TransformerEmbedder:
    return TransformerEmbedder("all-minilm-l6-v2", model("all-minilm-l6-v2", "embedder"))


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, embedder: TransformerEmbedder
) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("seeds") / "index"
    build_index(
        [SEEDS],
        folder=folder,
        open_embedder=lambda: embedder,
        embedder_name="all-minilm-l6-v2",
        max_bytes=10**8,
    )
    opened = open_engine(
        load(environment={}, flags={"index": str(folder), "models": str(REAL_MODELS)}), CONSENT
    )
    yield opened
    assert isinstance(opened.generator, LlamaGenerator)
    opened.generator.close()


def test_the_embedder_gives_the_published_vector(embedder: TransformerEmbedder) -> None:
    vector = embedder.embed(["hello world"])[0]
    expected = [-0.0345, 0.0310, 0.0067, 0.0261, -0.0394]
    assert np.allclose(vector[:5], expected, atol=1e-4)
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5
    with pytest.raises(ValueError, match="tokens"):
        embedder.embed(["word " * 400])


def test_tokens_are_counted_before_anything_was_embedded() -> None:
    """The model's own tokenizer pads to 128 until its first use, and cuts after it."""
    fresh = TransformerEmbedder("all-minilm-l6-v2", model("all-minilm-l6-v2", "embedder"))
    assert fresh.count("hello world") == 4
    assert fresh.count("word " * 300) == 302
    fresh.embed(["hello"])
    assert fresh.count("hello world") == 4
    assert fresh.count("word " * 300) == 302


def test_why_did_the_cai_stall_cites_both_reasons(engine: Engine) -> None:
    answer = engine.answer("Why did the CAI stall?")
    assert answer.status == "answered"
    assert {c.document[:3] for c in answer.citations} == {"002", "003"}
    text = answer.answer.lower()
    assert "political tensions" in text
    assert "ratif" in text
    for citation in answer.citations:
        source = (SEEDS / citation.document).read_text(encoding="utf-8")
        assert source[citation.start : citation.end] == citation.quote
    assert all(claim.verdict == "supported" and claim.labels for claim in answer.claims)


def test_a_question_the_documents_do_not_touch_is_refused(engine: Engine) -> None:
    answer = engine.answer("What is the boiling point of liquid nitrogen?")
    assert answer.status == "unanswerable"
    assert answer.claims == ()
    assert answer.nearest


def test_the_constant_prefix_is_read_once(engine: Engine) -> None:
    first = engine.answer("How large was trade between Russia and China in 2023?")
    second = engine.answer("Who designed the sanctions of March 2021?")
    assert "240" in first.answer
    assert second.stats.reused_tokens > 200
    assert second.stats.prompt_tokens > second.stats.reused_tokens


def test_the_constant_prefix_is_kept_on_disk_and_checked(tmp_path: Path) -> None:
    fetch.pull(models.SMALL_LLM, folder=REAL_MODELS, say=print)
    file = model(models.SMALL_LLM, "llm")

    def ask(prefixes: Path | None) -> tuple[int, list[str], float]:
        generator = LlamaGenerator("small", file, context_tokens=2048, prefixes=prefixes)
        prompt = compose("Who closed the plant?", [], generator=generator, answer_tokens=50)
        reused = generator.read(prompt)
        odds = generator.log_odds(" yes", " no")
        said = list(generator.sentences(" yes\nAnswer:", max_tokens=20, limit=1))
        generator.close()
        return reused, said, odds

    read = ask(tmp_path)  # and kept
    (kept,) = tmp_path.glob("*.kv")
    assert read[0] == 0
    constant, said, odds = ask(tmp_path)
    assert constant > 200
    assert (said, odds) == read[1:], "the very cells that were read"
    assert ask(None) == read, "in the same batches"
    damaged = bytearray(kept.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    kept.write_bytes(damaged)
    assert ask(tmp_path)[1] == said
    assert kept.read_bytes() != damaged, "it is read and kept again"


def evidence_of(text: str) -> Evidence:
    """A text as it would be shown, of a document of that name."""
    return Evidence(
        document=DocumentInfo(1, text, text, "", text),
        start=0,
        end=1,
        clean=text,
        lead=None,
        passage_id=1,
        score=1.0,
        cosine=0.9,
    )


@pytest.mark.parametrize("name", [models.DEFAULT_LLM, models.SMALL_LLM])
def test_what_was_asked_before_changes_nothing(name: str) -> None:
    fetch.pull(name, folder=REAL_MODELS, say=print)
    generator = LlamaGenerator(name, model(name, "llm"), context_tokens=2048)
    texts = [
        "The dairy of Lund closed in May after the flood, and forty people lost their work.",
        "Mayor Oda spoke of the dairy: “Nobody was asked, and nobody was told before the day.”",
        "In Malmo the mill was sold to its workers, who had saved for it since the spring.",
    ]

    def ask(question: str, *shown: int) -> tuple[float, list[str], list[float], float]:
        evidence = [evidence_of(texts[n]) for n in shown]
        prompt = compose(question, evidence, generator=generator, answer_tokens=50)
        generator.read(prompt)
        odds = generator.log_odds(" yes", " no")
        said = list(generator.sentences(" yes\nAnswer:", max_tokens=30, limit=2))
        judged = compose_judgement(question, texts[shown[0]], " ".join(said), generator=generator)
        return odds, said, generator.log_probs, generator.judge(judged, "yes", "no")

    alone = ask("When did the dairy close?", 0, 1)
    # The least evidence stands first: these begin as the first one does, and go on otherwise.
    others = [ask("What did the mayor say?", 2, 1), ask("Who bought the mill?", 2, 0, 1)]
    assert ask("When did the dairy close?", 0, 1) == alone
    assert [ask("What did the mayor say?", 2, 1), ask("Who bought the mill?", 2, 0, 1)] == others
    generator.close()


@pytest.mark.parametrize("name", [models.DEFAULT_LLM, models.SMALL_LLM])
def test_no_text_becomes_a_control_token(name: str) -> None:
    """Every control token of the vocabulary, spelled out in a document and in a question."""
    import llama_cpp

    fetch.pull(name, folder=REAL_MODELS, say=print)
    generator = LlamaGenerator(name, model(name, "llm"), context_tokens=8192)
    vocabulary = generator._vocab
    controls = {
        token: llama_cpp.llama_vocab_get_text(vocabulary, token).decode()
        for token in range(generator._vocab_size)
        if llama_cpp.llama_vocab_get_attr(vocabulary, token)
        & (llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED)
    }
    assert len(controls) > 3
    spelled = " ".join(controls.values())
    prompt = compose(spelled, [evidence_of(spelled)], generator=generator, answer_tokens=10)
    plain = compose("x", [], generator=generator, answer_tokens=10)
    kinds = {t for t, text in controls.items() if text.startswith("<|")}
    assert [t for t in prompt.tokens if t in kinds] == [t for t in plain.tokens if t in kinds]
    prompt = compose_reranking(spelled, evidence_of(spelled), generator=generator)
    plain = compose_reranking("x", evidence_of("x"), generator=generator)
    assert [t for t in prompt.tokens if t in kinds] == [t for t in plain.tokens if t in kinds]
    generator.close()


def test_the_text_that_answers_is_reranked_before_those_that_are_nearer(engine: Engine) -> None:
    def reranked(question: str) -> tuple[list[Evidence], Reranked]:
        query, hits = engine.search(question, 12)
        nearest = select_evidence(query, hits, store=engine.store, limit=8, tail=0.3, room=10**6)
        return nearest, rerank(query.text, nearest, generator=engine.generator)

    question = (
        "Which two long-time partners of Beijing is Washington striking deals with in order to"
        " leave China isolated?"
    )
    nearest, found = reranked(question)
    assert "both Russia and Iran" not in nearest[0].clean
    assert "both Russia and Iran" in found.evidence[0].clean
    assert sorted(map(id, found.evidence)) == sorted(map(id, nearest))
    assert [prompt.evidence for prompt in found.read] == [(item,) for item in nearest]
    _, nowhere = reranked("What is the phone number of the Chinese embassy in Paris?")
    assert found.surest > 0 > nowhere.surest


def test_drafts_change_no_word_and_cost_fewer_reads(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    questions = ["How long is the border that Russia shares with the EU?", "Why did the CAI stall?"]
    reads: list[int] = []
    decode = LlamaGenerator._decode

    def counted(self: LlamaGenerator, tokens: list[int], sequence: int, **more: bool) -> None:
        reads.append(len(tokens))
        decode(self, tokens, sequence, **more)

    monkeypatch.setattr(LlamaGenerator, "_decode", counted)
    drafted = [engine.answer(question).answer for question in questions]
    with_drafts = len(reads)
    reads.clear()
    monkeypatch.setattr("rag.backends.generate.lookup", lambda *_: [])
    assert [engine.answer(question).answer for question in questions] == drafted
    assert with_drafts < 0.8 * len(reads)


def test_what_is_judged_between_two_sentences_changes_none(engine: Engine) -> None:
    generator = engine.generator
    question = "Repeat all three sources word for word."
    texts = (
        "The new quay cost nine million crowns and opened in spring.",
        "Ships were sent to Brevik, forty miles to the north, until October.",
        "The harbour was closed in May after a storm broke its outer gate.",
    )
    document = DocumentInfo(1, "a", "a", "", "")
    found = [Evidence(document, n, n + 1, t, None, n, 1.0, 0.5) for n, t in enumerate(texts)]
    prompt = compose(question, found, generator=generator, answer_tokens=120)
    judgement = compose_judgement(question, "Some text.", "An answer.", generator=generator)

    def written(*, judge: bool) -> list[str]:
        generator.read(prompt)
        said = []
        for sentence in generator.sentences(ANSWER_OPENING, max_tokens=120, limit=4):
            said.append(sentence)
            if judge:
                generator.judge(judgement, *JUDGEMENT)
        return said

    undisturbed = written(judge=False)
    assert len(undisturbed) > 1
    assert written(judge=True) == undisturbed


def test_a_prompt_is_never_longer_than_the_context() -> None:
    name = models.SMALL_LLM
    fetch.pull(name, folder=REAL_MODELS, say=print)
    generator = LlamaGenerator(name, model(name, "llm"), context_tokens=1024)
    many = [
        Evidence(DocumentInfo(1, "a", "a", "", ""), n, n + 1, f"{n} " + "long words " * 60, None, n,
                 1.0 / n, 0.5)
        for n in range(1, 30)
    ]  # fmt: skip
    prompt = compose("What?", many, generator=generator, answer_tokens=50)
    assert prompt.dropped > 0
    assert prompt.evidence[0] is many[0]
    assert len(prompt.tokens) + 50 < 1024
    generator.read(prompt)
    assert list(generator.sentences("", max_tokens=8, limit=1)) is not None
    with pytest.raises(ValueError, match="tokens"):
        generator.read(Prompt((tuple([1] * 2000),), "", ()))
    generator.close()


def test_ctrl_c_stops_a_long_read_within_a_second(tmp_path: Path) -> None:
    name = models.DEFAULT_LLM
    program = f"""
import sys
from pathlib import Path
from rag.backends.generate import LlamaGenerator
from rag.records import Prompt
generator = LlamaGenerator("x", Path({str(model(name, "llm"))!r}), context_tokens=4096)
prompt = Prompt((tuple(generator.tokenize("one two three " * 900, special=False)),), "", ())
print("reading", flush=True)
try:
    generator.read(prompt)
except KeyboardInterrupt:
    generator.read(Prompt(((1, 2, 3),), "", ()))  # it can go on
    print("stopped", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=SEEDS.parent
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        time.sleep(1.5)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopped\n"
        assert time.monotonic() - sent < 2.0  # a second, and the three tokens read after it
        assert process.wait(30) == 0


def test_the_command_line_answers_from_a_new_index(tmp_path: Path) -> None:
    environment = {**os.environ, "RAG_MODELS": str(REAL_MODELS), "RAG_OFFLINE": "1"}

    def rag(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rag", *words, "--index", str(tmp_path / "index")],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )

    rag("index", str(SEEDS))
    done = rag("ask", "Who wrote an open letter in Le Figaro?", "--json")
    answer = json.loads(done.stdout)
    assert answer["schema"] == "rag.answer/1"
    assert answer["citations"][0]["document"].startswith("004")
    assert "Xi" in answer["answer"]


@pytest.mark.parametrize(
    ("question", "begun", "description"),
    [
        ("When was the company that bought Lund Dairy founded?", "the company",
         "the company that bought Lund Dairy"),
        ("When did the country where Omar Diaz was born leave the Empire?", "the country",
         "the country where Omar Diaz was born"),
        ("When did the director of The Long Ferry move to Oslo?", "the director",
         "the director of The Long Ferry"),
    ],
)  # fmt: skip
def test_a_description_is_copied_to_its_end(
    question: str, begun: str, description: str, engine: Engine
) -> None:
    prompt = compose_description(question, begun, generator=engine.generator)
    rest = question[question.index(begun) + len(begun) :].rstrip("?")
    assert description.startswith(begun + engine.generator.copy(prompt, rest).rstrip())
    assert engine.generator.copy(prompt, rest), "more than the words it was given"


def test_who_is_described_is_found_out_first(
    tmp_path: Path, embedder: TransformerEmbedder, engine: Engine
) -> None:
    texts = {
        "dairy.txt": "Lund Dairy had made butter for ninety years when it was sold last spring."
        " It was bought by Kestrel Foods, which kept all of its workers.",
        "kestrel.txt": "Kestrel Foods makes cheese and yoghurt. Kestrel Foods was founded in 1931"
        " by two brothers in Malmo.",
        "owl.txt": "Owl Foods makes bread. Owl Foods was founded in 1950 by a baker in Oslo.",
    }
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in texts.items():
        (docs / name).write_text(text)
    build_index(
        [docs], folder=tmp_path / "index", open_embedder=lambda: embedder,
        embedder_name="all-minilm-l6-v2", max_bytes=10**6,
    )  # fmt: skip
    store = open_index(tmp_path / "index")
    asked = replace(engine, store=store, dense=open_dense(store))
    answer = asked.answer("In which year was the company that bought Lund Dairy founded?")
    assert "1931" in answer.answer, answer
    assert "kestrel.txt" in {citation.document for citation in answer.citations}
    assert asked.answer("Who is married to the man who bought Owl Foods?").status == "unanswerable"
    store.close()
