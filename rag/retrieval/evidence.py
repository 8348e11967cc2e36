"""Passages to the few sentences worth showing the model.

Reading the prompt is most of the time on a CPU, and a small model loses facts in long passages;
so sentences are chosen, and one that cannot be understood alone ("But this text was suspended")
brings the sentence before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from rag.clean import shown
from rag.records import Evidence, Hit
from rag.retrieval import surroundings
from rag.retrieval.retrieve import Query
from rag.storage.store import Store
from rag.words import terms, tokens

_MIN_WORDS = 4
_TAIL = 0.65  # what is worth less of the best is not read: it costs time and distracts
_BEST = 3  # so many are read however long they are; of others what fits in with them
_ENOUGH = 900  # code points: about 200 tokens, three seconds of reading
_ASKS = 0.4  # a sentence that only asks is worth so much less: its answer stands behind it
_TWIN = 0.6  # a sentence joins the one that it leans on if it is worth so much of it
_OTHER_SIDE = 0.7  # the other document's evidence is worth so much of the best of all
_NEW_WORDS = 3  # and says at least so many words of its own
_QUESTION = re.compile(r"\?[\"”’')*]*$")
# What is asked of a document itself stands at its head, which is no running text.
_OF_THE_DOCUMENT = re.compile(
    r"\bwho(?:m|se)? (?:is|was|are|were)? ?(?:the )?(?:wrote|written|authors?|authored|published"
    r"|publishers?)\b|\b(?:by whom|when|where|in (?:which|what) year)\b.{1,120}"
    r"\b(?:written|published|dated)\b|\b(?:author|publisher|publication date|byline)s?\b"
    r"|\bon (?:which|what) (?:date|day)\b.{1,120}\b(?:written|published)\b",
    re.IGNORECASE,
)
_HEAD, _HEAD_BLOCK = 400, 120  # code points of a head, and of a block of it, at most
_HEADS = 2


def select_evidence(
    query: Query,
    hits: Sequence[Hit],
    *,
    store: Store,
    limit: int,
    tail: float = _TAIL,
    room: int = _ENOUGH,
) -> list[Evidence]:
    """Choose sentences of the retrieved passages, best first.

    A sentence is worth its own nearness to the question, and half the share of the question's
    terms, weighted by rarity, that it covers (half counted where only the sentence before it has
    the term); and three quarters of its passage's score, and half of what its passage covers; less
    if it is a question, such as the heading of an answer. The weights were chosen on six sets, see
    docs/experiments.md.

    Args:
        query: The question as searched.
        hits: Retrieved passages, best first.
        store: For sentence vectors and the sentences before.
        limit: At most so many.
        tail: What is worth less of the best is left out.
        room: Code points that all have together, beyond the best three.
    """
    rarity = store.rarity(query.terms)
    everything = sum(rarity.values()) or 1.0

    def covered(found: set[str]) -> float:
        return sum(weight for term, weight in rarity.items() if term in found) / everything

    scored: list[tuple[float, Hit, int, float]] = []
    seen: set[str] = set()
    for hit in hits:
        cosines = store.sentence_vectors(hit.passage_id) @ query.vector
        passage = hit.passage
        about = f"{hit.document.title} {hit.document.author} {passage.heading} {passage.clean}"
        around = set(terms(about))
        place = 0.75 * hit.score + 0.5 * covered(around)
        before: set[str] = set()
        for at, sentence in enumerate(passage.sentences):
            found = set(terms(sentence.clean))
            words = 0.25 * (covered(found) + covered(found | before))
            before = found
            key = sentence.clean.casefold()
            # "--jobs=<number> [default: 4]" is three words between spaces, and says a lot.
            if len(tokens(sentence.clean)) >= _MIN_WORDS and key not in seen:
                seen.add(key)
                cosine = float(cosines[at])
                asks = _ASKS * bool(_QUESTION.search(sentence.clean))
                scored.append((cosine + words + place - asks, hit, at, cosine))
    scored.sort(key=lambda entry: (-entry[0], entry[1].passage_id, entry[2]))
    chosen: list[Evidence] = []
    length = 0
    for score, hit, at, cosine in scored:
        sentence, document = hit.passage.sentences[at], hit.document.id
        lead = surroundings.lead(hit, at, store)
        if any(
            e.document.id == document
            and (e.start < sentence.start < e.end or (e.lead and e.lead.start == sentence.start))
            for e in chosen
        ):
            continue  # it is shown already: in a list, or before the sentence that leans on it
        item = Evidence(
            document=hit.document,
            start=sentence.start,
            end=sentence.end,
            clean=sentence.clean,
            lead=lead,
            passage_id=hit.passage_id,
            score=score,
            cosine=cosine,
            context=f"{hit.passage.heading} {hit.passage.clean}",
        )
        # One that leans on a sentence chosen before takes its place in the row, and shows both.
        twin = next(
            (n for n, e in enumerate(chosen)
             if lead and not e.lead and (e.document.id, e.start) == (document, lead.start)),
            None,
        )  # fmt: skip
        if twin is not None:
            if score >= _TWIN * chosen[twin].score:
                section = surroundings.section(hit, item.shown, query.text, query.terms)
                chosen[twin] = replace(item, section=section, score=chosen[twin].score)
        elif len(chosen) < limit and score >= tail * scored[0][0]:
            item = replace(
                item,
                section=surroundings.section(hit, item.shown, query.text, query.terms),
                lead=lead or surroundings.introduction(hit, at, store),
            )
            item = surroundings.tabled(item, covered, store)
            known = {e.start for e in chosen if e.document.id == document}
            item = surroundings.listed(item, hit, at, store, known=known)
            longer = length + len(item.shown)
            if _fits(chosen, longer, room):
                chosen.append(item)
                length = longer
    if _OF_THE_DOCUMENT.search(query.text):
        heads = _heads(hits, store=store)
        return [*heads, *chosen][: max(limit, len(heads))]
    return chosen


def _heads(hits: Sequence[Hit], *, store: Store) -> list[Evidence]:
    """The heads of the best documents: the short blocks before the running text, as one piece."""
    best = {hit.document.id: hit for hit in reversed(hits)}
    found: list[Evidence] = []
    for hit in sorted(best.values(), key=lambda hit: -hit.score)[:_HEADS]:
        blocks = []
        for block in re.finditer(
            r"\S[^\r\n]*(?:\r?\n[^\r\n]+)*", store.text(hit.document.id)[:_HEAD]
        ):
            if len(block.group()) > _HEAD_BLOCK or block.end() == _HEAD:
                break
            blocks.append(block)
        if blocks:
            lines = (line for block in blocks for line in block.group().splitlines())
            clean = "; ".join(shown(line) for line in lines)
            found.append(
                Evidence(
                    document=hit.document,
                    start=blocks[0].start(),
                    end=blocks[-1].end(),
                    clean=clean,
                    lead=None,
                    passage_id=hit.passage_id,
                    score=hit.score,
                    cosine=0.0,
                    context=clean,
                )
            )
    return found


def best_of(searches: Iterable[Sequence[Evidence]], *, limit: int) -> tuple[Evidence, ...]:
    """The best of what several searches found; what is shown already, once."""
    chosen: list[Evidence] = []
    for item in sorted(chain.from_iterable(searches), key=lambda item: -item.score):
        if any(e.document.id == item.document.id and item.clean in e.shown for e in chosen):
            continue
        longer = sum(len(e.shown) for e in chosen) + len(item.shown)
        if len(chosen) < limit and _fits(chosen, longer, _ENOUGH):
            chosen.append(item)
    return tuple(chosen)


def _fits(chosen: list[Evidence], longer: int, room: int) -> bool:
    """Whether one more is read, with which all would have so many code points."""
    return len(chosen) < _BEST or longer <= room


def other_side(
    query: Query, evidence: tuple[Evidence, ...], *, claim: str, known: set[int]
) -> Evidence | None:
    """The best evidence of a document not in ``known`` on what a claim says, that adds to it."""
    asked, said = set(query.terms), set(terms(claim))
    for item in evidence:
        words = set(terms(item.clean))
        if (
            item.document.id not in known
            and item.score >= _OTHER_SIDE * evidence[0].score
            and words & (said - asked)
            and len(words - said - asked) >= _NEW_WORDS
        ):
            return item
    return None
