"""Flags in, text out; the only place that prints and exits.

Nothing heavy is imported at the top: ``rag --help`` must be there at once.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from rag import __version__
from rag.commands import catalogue, chat, console, flags, many, show
from rag.errors import (
    IndexUnusable,
    InputUnreadable,
    Interrupted,
    OutOfResources,
    RagError,
    UsageError,
)
from rag.terminal import printable

app = typer.Typer(
    name="rag",
    help="Answers from your own documents, every sentence checked against the text it cites.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(catalogue.app, name="models")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks for errors.")] = False,
) -> None:
    """Options of the program itself; ``--debug`` is read in ``main``."""
    if version:
        console.out(f"rag {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        console.out(context.get_help())


@app.command()
def index(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=flags.path,
            help="Folders or files; default: what is indexed, else the corpus setting.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop documents of folders that are not named.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 4 if any file is skipped.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Then keep it fresh until Ctrl-C.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Look at every row first, and mend what is damaged.")
    ] = False,
    gitignore: Annotated[
        bool, typer.Option("--gitignore/--no-gitignore", help="Obey .gitignore files.")
    ] = True,
    ocr: Annotated[
        bool | None, typer.Option("--ocr/--no-ocr", help="Recognise the text of scanned pages.")
    ] = None,
    index_dir: flags.IndexFlag = None,
    embedder: flags.EmbedderFlag = None,
    config: flags.ConfigFlag = None,
    as_json: flags.JsonFlag = False,
    quiet: flags.QuietFlag = False,
    offline: flags.OfflineFlag = None,
) -> None:
    """Build or refresh the index."""
    if dry_run and (watch or check):
        other = "--watch" if watch else "--check"
        raise UsageError(
            f"--dry-run changes nothing, and {other} does", hint=f"leave out --dry-run or {other}"
        )
    settings = flags.settings(config, index=index_dir, embedder=embedder, offline=offline, ocr=ocr)
    from rag.commands.opening import embedder_name, load_embedder, model_path, parse_limits
    from rag.commands.render import index_json, index_text
    from rag.indexing import IndexReport, build_index, preview_index
    from rag.storage.database import has_files

    folder, max_bytes = Path(settings.index), int(settings.max_file_mb * 1e6)
    roots = paths or ([] if has_files(folder) else [Path(settings.corpus)])
    name, limits = embedder_name(settings), parse_limits(settings)
    consent = console.consent(quiet=quiet or as_json)

    def run(roots: list[Path], *, check: bool = False) -> IndexReport:
        with console.progress("indexing", quiet=quiet or as_json, named=True) as tell:
            return build_index(
                roots,
                folder=folder,
                open_embedder=lambda: load_embedder(settings, consent),
                embedder_name=name,
                max_bytes=max_bytes,
                limits=limits,
                replace=replace,
                gitignore=gitignore,
                check=check,
                progress=tell,
            )

    if dry_run:
        with console.progress("looking", quiet=quiet or as_json, named=True) as tell:
            report = preview_index(
                roots, folder=folder, embedder_name=name, max_bytes=max_bytes, limits=limits,
                replace=replace, gitignore=gitignore, progress=tell,
            )  # fmt: skip
    else:
        model_path(settings, "embedder", consent)
        report = run(roots, check=check)
    console.out(index_json(report) if as_json else index_text(report))
    if strict and report.skipped:
        raise InputUnreadable(
            f"skipped: {len(report.skipped)}, the first is {report.skipped[0].path}",
            hint="mend or move them, name them in .ragignore, or leave out --strict",
        )
    if watch and not dry_run:
        from rag.watching import watch_roots

        for outcome in watch_roots(folder, paths or [], run):
            if isinstance(outcome, RagError):
                console.note(f"not refreshed: {printable(outcome.message)}; trying again")
            else:
                console.out(index_json(outcome) if as_json else index_text(outcome))


@app.command()
def status(
    check: Annotated[
        bool, typer.Option("--check", help="Look at every row, however large the index is.")
    ] = False,
    index_dir: flags.IndexFlag = None,
    config: flags.ConfigFlag = None,
    as_json: flags.JsonFlag = False,
) -> None:
    """Show what is indexed, with which models, how large, and whether it is sound."""
    settings = flags.settings(config, index=index_dir)
    from rag.commands.doctor import index_status
    from rag.commands.render import status_json, status_text

    with console.busy("looking at the index …", quiet=as_json):
        state = index_status(settings, check=check)
    console.out(status_json(state) if as_json else status_text(state))
    if not state.sound:
        raise IndexUnusable(
            f"the index is not sound: {'; '.join(state.problems)}",
            hint="mend it: rag index --check",
        )


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option("-k", min=1, max=200, help="How many passages.")] = 5,
    explain: Annotated[
        bool, typer.Option("--explain", help="Each stage's rank and score.")
    ] = False,
    docs: flags.DocsFlag = None,
    where: flags.WhereFlag = None,
    index_dir: flags.IndexFlag = None,
    embedder: flags.EmbedderFlag = None,
    config: flags.ConfigFlag = None,
    as_json: flags.JsonFlag = False,
    quiet: flags.QuietFlag = False,
    offline: flags.OfflineFlag = None,
) -> None:
    """Find passages: retrieval only."""
    settings = flags.settings(config, index=index_dir, embedder=embedder, offline=offline)
    from rag.commands.opening import open_engine
    from rag.commands.render import search_json, search_text
    from rag.retrieval.retrieve import check_question

    query = _valid(query)
    check_question(query)
    with console.busy("loading the index and the embedder …", quiet=quiet):
        consent = console.consent(quiet=quiet or as_json)
        engine = open_engine(settings, consent, generate=False, docs=docs or (), where=where or ())
        searched, hits = engine.search(query, limit)
    if as_json:
        console.out(search_json(query, searched.text, hits))
    else:
        console.out(search_text(searched.text, hits, width=console.width(), explain=explain))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="One question.")],
    show_dropped: Annotated[
        bool, typer.Option("--show-dropped", help="Also what was withheld, and why.")
    ] = False,
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
    """Answer one question, every sentence with its source."""
    settings = flags.settings(config, index=index_dir, embedder=embedder, llm=llm, offline=offline)
    from rag.commands.opening import open_engine
    from rag.commands.render import answer_json
    from rag.commands.speaking import speak
    from rag.retrieval.retrieve import check_question

    question = _valid(question)
    check_question(question)
    with console.busy("loading the index and the models …", quiet=quiet):
        consent = console.consent(quiet=quiet or as_json)
        engine = open_engine(settings, consent, docs=docs or (), where=where or ())
    if as_json:
        console.out(answer_json(engine.answer(question)))
        return
    speak(
        lambda told: engine.answer(question, on_claim=told), quiet=quiet, show_dropped=show_dropped
    )


app.command()(chat.chat)
app.command()(show.show)
app.command("eval")(many.evaluate)
app.command()(many.batch)


@app.command()
def doctor(
    index_dir: flags.IndexFlag = None,
    config: flags.ConfigFlag = None,
    as_json: flags.JsonFlag = False,
    quiet: flags.QuietFlag = False,
) -> None:
    """Check that this machine is ready, and say what to do where it is not."""
    settings = flags.settings(config, index=index_dir)
    from rag.commands.doctor import examine
    from rag.commands.render import findings_json, findings_text

    with console.busy("looking at this machine …", quiet=quiet or as_json):
        findings = examine(settings)
    console.out(findings_json(findings) if as_json else findings_text(findings))
    worst = next((finding.exit_code for finding in findings if not finding.ok), 0)
    if worst:
        raise typer.Exit(worst)


# -- plumbing -----------------------------------------------------------------------------------


def main() -> NoReturn:
    """Run the command line; every error becomes two lines and the exit code of the contract."""
    debug = "--debug" in sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal lacks is no bug
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        if code == Interrupted.exit_code:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except RagError as error:
        _fail(error, debug=debug)
    except typer.TyperException as error:
        formatted = getattr(error, "format_message", None)
        message = formatted() if formatted else str(error)
        _fail(UsageError(message or "wrong usage", hint=f"see: {_help_of(error)}"), debug=debug)
    except (KeyboardInterrupt, typer.Abort):
        _fail(Interrupted("stopped", hint="run the same command again to go on"), debug=False)
    except MemoryError as error:
        _fail(_out_of("memory", error), debug=debug)
    except BrokenPipeError:
        console.hang_up()
        sys.exit(0)
    except OSError as error:
        import errno

        if error.errno == errno.ENOSPC:
            _fail(_out_of("disk", error), debug=debug)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            _fail(_forbidden(error), debug=debug)
        _bug(error, debug=debug)
    except Exception as error:
        _bug(error, debug=debug)


def _help_of(error: Exception) -> str:
    """The command that explains the one that was used wrongly."""
    context, names = getattr(error, "ctx", None), ["--help"]
    while context and context.parent:
        names.insert(0, context.info_name)
        context = context.parent
    quoted = f'; put it in quotation marks: rag {names[0]} "What …?"'
    several = names[0] in ("ask", "search") and "extra argument" in str(error)
    return " ".join(["rag", *names]) + (quoted if several else "")


def _out_of(what: str, cause: BaseException) -> RagError:
    error = OutOfResources(f"out of {what}", hint=f"free some {what} and run again")
    error.__cause__ = cause
    return error


def _forbidden(cause: OSError) -> RagError:
    """What the system does not allow is for the user to mend, wherever it comes up."""
    error = UsageError(
        f"{cause.filename or 'a file'} cannot be used: {cause.strerror}",
        hint="look at who may read and write it, or name another",
    )
    error.__cause__ = cause
    return error


def _bug(error: Exception, *, debug: bool) -> NoReturn:
    wrapped = RagError(
        f"a bug: {type(error).__name__}: {error}", hint="run again with rag --debug and report it"
    )
    wrapped.__cause__ = error
    _fail(wrapped, debug=debug)


def _fail(error: RagError, *, debug: bool) -> NoReturn:
    if debug:
        import traceback

        traceback.print_exception(error)
    console.note(
        f"error: {printable(error.message)}\nhint: {printable(error.hint) or 'see: rag doctor'}"
    )
    sys.exit(error.exit_code)


def _valid(text: str) -> str:
    """Command-line text that was not UTF-8 has surrogates, which no model or JSON reader takes."""
    return text.encode("utf-8", "replace").decode()
