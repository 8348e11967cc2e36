"""``rag chat``: a conversation at a terminal, or one question a line from a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.commands import console, flags
from rag.errors import RagError, UsageError
from rag.terminal import printable

if TYPE_CHECKING:
    from prompt_toolkit.history import History

    from rag.commands.session import Session

_PROMPT = "> "


def chat(
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="FILE", parser=flags.path, help="Go on with a saved conversation."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FILE",
            parser=flags.path,
            help="Keep each turn in a new file (JSONL).",
        ),
    ] = None,
    docs: flags.DocsFlag = None,
    where: flags.WhereFlag = None,
    index_dir: flags.IndexFlag = None,
    embedder: flags.EmbedderFlag = None,
    llm: flags.LlmFlag = None,
    config: flags.ConfigFlag = None,
    as_json: flags.JsonFlag = False,
    quiet: flags.QuietFlag = False,
    offline: flags.OfflineFlag = None,
) -> None:
    """Ask in a conversation: follow-ups are understood, /help shows what else."""
    if resume and save:
        raise UsageError("--resume already keeps each turn in its file", hint="leave out --save")
    settings = flags.settings(config, index=index_dir, embedder=embedder, llm=llm, offline=offline)
    from rag.commands.opening import open_engine
    from rag.commands.session import Session, kept_in

    with ExitStack() as stack:
        path = resume or save
        kept = stack.enter_context(kept_in(path, resume=bool(resume))) if path else (-1, [])
        file, turns = kept
        # A conversation goes on in the scope it was in.
        if turns and not (docs or where):
            docs, where = list(turns[-1].scope), list(turns[-1].where)
        with console.busy("loading the index and the models …", quiet=quiet):
            consent = console.consent(quiet=quiet or as_json)
            engine = open_engine(settings, consent, docs=docs or (), where=where or ())
        session = Session(engine, turns=turns, file=file)
        at_terminal = console.is_conversation()
        if turns and not quiet:
            console.note(f"resumed after {len(turns)} turn{'s' * (len(turns) > 1)}")
        if at_terminal and not quiet:
            console.note("Ask; /help shows what else. Ctrl-D leaves.")
        converse(
            session,
            typed() if at_terminal else console.lines(),
            Manner(at_terminal=at_terminal, as_json=as_json, quiet=quiet),
        )


@dataclass(frozen=True, slots=True)
class Manner:
    """How a conversation is held.

    Attributes:
        at_terminal: Somebody is there, who can mend what went wrong.
        as_json: Answers are JSON, one a line; all else goes to stderr.
        quiet: Nothing beside answers.
    """

    at_terminal: bool
    as_json: bool = False
    quiet: bool = False


def converse(session: Session, lines: Iterator[str], manner: Manner) -> None:
    """Answer line after line until there is none.

    Ctrl-C while one is answered stops that answer alone; an error that the person can mend is said,
    and the conversation goes on. From a pipe only errors of a question are: others end it.
    """
    for line in lines:
        text = line.strip()
        if not text:
            continue
        try:
            if text.startswith("/"):
                _command(session, text, manner)
            else:
                _question(session, text, manner)
        except KeyboardInterrupt:
            if not manner.at_terminal:
                raise
            console.note("stopped")
        except RagError as error:
            if not manner.at_terminal and not isinstance(error, UsageError):
                raise
            console.note(f"error: {printable(error.message)} ({printable(error.hint)})")


def _command(session: Session, text: str, manner: Manner) -> None:
    from rag.commands.slash import run

    say: Callable[[str], None] = console.note if manner.as_json else console.out
    styled = console.styled("stderr" if manner.as_json else "stdout")
    say(run(text, session, width=console.width(), styled=styled))


def _question(session: Session, text: str, manner: Manner) -> None:
    from rag.commands.render import answer_json
    from rag.commands.speaking import speak

    with console.busy("…", quiet=manner.quiet):
        understood = session.understood(text)
    if manner.as_json:
        try:
            answer = session.answer(text, understood)
        except UsageError as error:
            console.out(answer_json(session.failed(text, error)))
            return
        try:
            session.keep(answer)
        finally:  # what was answered is not lost with a full disk
            console.out(answer_json(answer))
        return
    if understood != text and not manner.quiet:
        console.dim(f"→ {' '.join(printable(understood).split())}")
    speak(lambda told: session.ask(text, understood, told), quiet=manner.quiet)
    if manner.at_terminal:
        console.out("")


def typed() -> Iterator[str]:
    """What is typed at the terminal; Ctrl-C empties the line, Ctrl-D ends.

    Enter sends; Alt-Enter, or Enter behind a backslash, begins another line. What was typed is kept
    for the next time, for the user alone.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output.defaults import create_output

    from rag.commands.slash import COMMANDS

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    session: PromptSession[str] = PromptSession(
        _PROMPT,
        history=_history(),
        completer=WordCompleter(list(COMMANDS), sentence=True),
        complete_while_typing=False,
        key_bindings=keys,
        multiline=True,
        prompt_continuation=lambda *_: "  ",
        output=create_output(always_prefer_tty=True),
    )
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _history() -> History:
    """What was typed before, in a file that only the user reads; in memory where there is none."""
    import platformdirs
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    file = Path(platformdirs.user_state_dir("rag")) / "chat_history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        with file.open("ab"):
            return FileHistory(str(file))
    except OSError:
        return InMemoryHistory()
