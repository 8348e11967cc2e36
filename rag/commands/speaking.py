"""An answer as it comes: its claims the moment they are verified, then its sources."""

from __future__ import annotations

from collections.abc import Callable

from rag.commands import console, render
from rag.records import Answer, Citation, Claim

OnClaim = Callable[[Claim, tuple[Citation, ...]], None]


def speak(ask: Callable[[OnClaim], Answer], *, quiet: bool, show_dropped: bool = False) -> Answer:
    """Answer a question before a person's eyes.

    Args:
        ask: Answers, telling each claim as it is verified.
        quiet: Nothing beside the answer.
        show_dropped: Also what was withheld.
    """
    shown: list[str] = []
    with console.busy("reading …", quiet=quiet) as clear:

        def told(claim: Claim, _new: tuple[Citation, ...]) -> None:
            clear()
            shown.append(render.claim_text(claim))
            if console.streams():
                console.out(shown[-1], end=" ")

        try:
            answer = ask(told)
        except KeyboardInterrupt:
            if console.streams() and shown:
                console.out("")
            raise
    width = console.width()
    if console.streams() and shown:
        console.out("")
    else:
        console.out(render.wrapped(" ".join(shown) or answer.answer, width=width))
    if answer.citations:
        console.out("\n" + render.sources_text(answer.citations, width=width))
    if answer.nearest:
        console.out("\nNearest passages:\n" + render.sources_text(answer.nearest, width=width))
    if show_dropped and answer.dropped:
        console.out("\n" + render.dropped_text(answer, width=width))
    if not quiet:
        console.note("\n" + render.summary_text(answer))
    return answer
