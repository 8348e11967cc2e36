"""Documents by glob: what matches, and that a scoped search finds as much, from within alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import invoke, restricted_batch
from conftest import SEEDS, IndexBuilder

from rag.backends.embed import HashEmbedder
from rag.errors import UsageError
from rag.records import DocumentInfo
from rag.retrieval.retrieve import make_query, retrieve
from rag.retrieval.scope import EVERYTHING, scope_of
from rag.storage.dense import open_dense
from rag.storage.store import open_index

PATHS = ["a.txt", "b.md", "reports/2023.txt", "reports/old/2019.txt", "[odd] name.txt"]
DOCUMENTS = [DocumentInfo(n, path, "", "", "") for n, path in enumerate(PATHS, 1)]


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        ([], None),
        (["a.txt"], {1}),
        (["*.txt"], {1, 3, 4, 5}),
        (["reports/"], {3, 4}),
        (["reports"], {3, 4}),
        (["reports/*.txt"], {3}),
        (["b.md", "reports/old/**"], {2, 4}),
        (["[odd] name.txt"], {5}),
        (["*"], {1, 2, 3, 4, 5}),
    ],
)
def test_what_a_glob_matches(globs: list[str], found: set[int] | None) -> None:
    scope = scope_of(globs, DOCUMENTS)
    assert scope.documents == (None if found is None else frozenset(found))
    assert scope.globs == tuple(sorted(globs))
    assert (scope == EVERYTHING) == (not globs)


@pytest.mark.parametrize("glob", ["c.txt", "", "#a.txt", "!a.txt", "A.TXT", "\x1b[31m"])
def test_a_glob_that_matches_nothing_is_named(glob: str) -> None:
    with pytest.raises(UsageError, match="no document matches") as caught:
        scope_of(["a.txt", glob], DOCUMENTS)
    assert "\x1b" not in caught.value.message
    assert glob.removeprefix("\x1b") in caught.value.message
    assert "a.txt, b.md" in caught.value.hint


@pytest.mark.parametrize("path", [file.name for file in sorted(SEEDS.glob("*.txt"))])
def test_a_scoped_search_is_the_whole_search_of_these_documents(
    shared_index: Path, path: str
) -> None:
    store = open_index(shared_index)
    dense = open_dense(store)
    scope = scope_of([path], store.documents())
    assert scope.documents
    query = make_query("sanctions on Russia and China", embedder=HashEmbedder(), acronyms=[])
    among = store.passage_ids(scope.documents)
    hits = retrieve(query, store=store, dense=dense, limit=5, documents=scope.documents)
    assert len(hits) == 5, "as many as without a scope"
    assert {hit.document.path for hit in hits} == {path}
    # Both stages rank the passages of the scope exactly, however many others are nearer.
    ids, vectors = store.passage_vectors()
    inside = np.isin(ids, among)
    best = ids[inside][np.argsort(-(vectors[inside] @ query.vector), kind="stable")]
    found = [id_ for id_, _ in dense.search(query.vector, 100, among=among)]
    assert len(found) == len(among)
    assert found[:3] == best[:3].tolist()
    lexical = store.lexical_search(query.terms, 1000)
    scoped = store.lexical_search(query.terms, 1000, documents=scope.documents)
    assert scoped == [(id_, score) for id_, score in lexical if id_ in set(among.tolist())]
    store.close()


def test_many_documents_in_a_scope(tmp_path: Path, build: IndexBuilder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(300):
        (docs / f"{n}.txt").write_text(f"Panda number {n} eats bamboo in the mountains at noon.")
    build(docs)
    store = open_index(tmp_path / "index")
    scope = scope_of(["2*.txt"], store.documents())
    query = make_query("Where do pandas eat?", embedder=HashEmbedder(), acronyms=[])
    hits = retrieve(
        query, store=store, dense=open_dense(store), limit=50, documents=scope.documents
    )
    assert len(hits) == 50
    assert all(hit.document.path.startswith("2") for hit in hits)
    store.close()


def test_docs_on_the_command_line(shared_index: Path, tmp_path: Path) -> None:
    index = ("--index", str(shared_index))
    easy = {"RAG_ANSWER_THRESHOLD": "0"}
    question = "What did China and the EU agree about sanctions?"
    for path in ("000", "003"):
        scoped = ("--docs", f"{path}*", *index)
        search = json.loads(invoke("search", question, "--json", "-k", "4", *scoped).stdout)
        assert [row["document"][:3] for row in search["results"]] == [path] * 4
        answer = json.loads(invoke("ask", question, "--json", *scoped, **easy).stdout)
        assert answer["scope"] == [f"{path}*"]
        assert {row["document"][:3] for row in answer["retrieved"]} == {path}
    assert "1 document searched" in invoke("ask", question, *scoped, **easy).stderr
    both = invoke("search", question, "--json", "-k", "30", *scoped, "--docs", "000*")
    found = {row["document"][:3] for row in json.loads(both.stdout)["results"]}
    assert found == {"000", "003"}
    for command in (["search", "x"], ["ask", "x"], ["chat"]):
        refused = invoke(*command, "--docs", "absent*", *index)
        assert isinstance(refused.exception, UsageError), command
        assert "'absent*'" in refused.exception.message


def test_a_batch_goes_on_in_the_scope_it_began_in(shared_index: Path, tmp_path: Path) -> None:
    row = restricted_batch(
        "Why did the CAI stall?", index=shared_index, folder=tmp_path,
        nothing=["--docs", "absent*"],
        given=["--docs", "003*", "--docs", "002*"],
        again=["--docs", "002*", "--docs", "003*"],
        others=[[], ["--docs", "003*"]], refused_as="docs was",
    )  # fmt: skip
    assert row["scope"] == ["002*", "003*"]
    assert {passage["document"][:3] for passage in row["retrieved"]} <= {"002", "003"}
