"""Follow-ups answered through a conversation, beside the same asked in standalone words.

    python -m bench.chat --index bench/results/index

Every follow-up of ``seeds/conversations.jsonl`` is answered (a) in its conversation, rewritten by
the program, and (b) as its hand-written standalone form. Prints both, then for each side how many
answerable ones were right and how many unanswerable ones refused, and the difference over the same
questions with its interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.support import FETCHED
from rag.commands.opening import open_engine
from rag.commands.session import Session
from rag.config import load
from rag.evaluation.metrics import missing_facts
from rag.evaluation.resample import Estimate, Pair, ratio, ratio_difference
from rag.records import Answer

Turn = dict[str, Any]


def main() -> None:
    """Parse arguments, answer, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--conversations", type=Path, default=Path("seeds/conversations.jsonl"))
    parser.add_argument("--index", default="index")
    parser.add_argument("--out", type=Path, default=Path("bench/results/chat.jsonl"))
    parser.add_argument("--every", type=int, default=1, help="only each Nth conversation")
    chosen = parser.parse_args()
    session = Session(open_engine(load(flags={"index": chosen.index}), FETCHED))
    lines = chosen.conversations.read_text(encoding="utf-8").splitlines()
    pairs: list[tuple[bool, bool, bool]] = []  # answerable, good in the chat, good standalone
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    with chosen.out.open("w", encoding="utf-8") as out:
        for row in followed(session, [json.loads(line) for line in lines[:: chosen.every]]):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            out.flush()
            pairs.append((row["answerable"], row["chat"]["good"], row["alone"]["good"]))
            print(f"{row['id']} {row['question']}")
            for side in ("chat", "alone"):
                mark = "good" if row[side]["good"] else "BAD "
                print(f"  {side:5} {mark} {row[side]['asked']}\n        {row[side]['answer']}")
    print(summary(pairs))


def followed(session: Session, conversations: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each follow-up, answered both ways."""
    for conversation in conversations:
        session.reset()
        for number, turn in enumerate(conversation["turns"], 1):
            answer = session.ask(turn["question"], session.understood(turn["question"]))
            if number == 1:
                continue
            same = answer.standalone_question == turn["standalone"]
            alone = answer if same else session.engine.answer(turn["standalone"])
            yield {
                "id": f"{conversation['id']}.{number}",
                "question": turn["question"],
                "answerable": turn["answer"] is not None,
                "chat": _side(turn, answer),
                "alone": _side(turn, alone),
            }


def _side(turn: Turn, answer: Answer) -> dict[str, Any]:
    return {"asked": answer.standalone_question, "answer": answer.answer,
            "status": answer.status, "good": good(turn, answer)}  # fmt: skip


def good(turn: Turn, answer: Answer) -> bool:
    """Whether it was answered with every fact, or refused where the documents do not answer."""
    if turn["answer"] is None or answer.status != "answered":
        return turn["answer"] is None and answer.status == "unanswerable"
    return not missing_facts(answer.answer, turn["facts"])


def summary(pairs: list[tuple[bool, bool, bool]]) -> str:
    """The figures: shares with 95% intervals, and their paired differences (chat - standalone)."""
    wanted: dict[str, Callable[[bool], bool]] = {"right": bool, "refused": lambda a: not a}
    rows = []
    for name, among in wanted.items():
        kept = [pair for pair in pairs if among(pair[0])]
        chat: list[Pair] = [(float(one), 1.0) for _, one, _ in kept]
        alone: list[Pair] = [(float(other), 1.0) for _, _, other in kept]
        difference = ratio_difference(list(alone), list(chat))
        rows.append(
            f"{name:8} of {len(kept):3}: chat {_figure(ratio(chat))},"
            f" standalone {_figure(ratio(alone))}, difference {_figure(difference)}"
        )
    return "\n".join(rows)


def _figure(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "-"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


if __name__ == "__main__":
    main()
