"""The commands over many questions: ``rag batch`` and ``rag eval``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rag.commands import console, flags
from rag.errors import InputUnreadable, UsageError
from rag.terminal import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.answering import Engine
    from rag.commands.batch import BatchReport, Question
    from rag.config import Settings
    from rag.evaluation.gold import GoldSet
    from rag.evaluation.judges import Judge
    from rag.records import Generator


def evaluate(
    gold: Annotated[
        Path,
        typer.Argument(parser=flags.path, help="Gold set: JSONL, one question a line."),
    ],
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            "-o",
            metavar="OUT",
            parser=flags.path,
            help="Score these; what is missing is added.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            parser=flags.path,
            help="Write report.json and report.html there.",
        ),
    ] = None,
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Score retrieval only, without language model.")
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", metavar="OTHER", parser=flags.path, help="Compare with an earlier report."
        ),
    ] = None,
    gate: Annotated[
        Path | None,
        typer.Option(
            "--gate",
            metavar="FILE",
            parser=flags.path,
            help="Exit 1 where these thresholds are not met.",
        ),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Choose answer_threshold and write it down.")
    ] = False,
    max_false_refusals: Annotated[
        float,
        typer.Option(min=0, max=1, help="With --calibrate: most answerable questions refused."),
    ] = 0.05,
    failures: Annotated[
        bool, typer.Option("--failures", help="Also each question with a wrong outcome.")
    ] = False,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge", metavar="local|URL", help="Also ask a language model what is correct."
        ),
    ] = None,
    judge_model: Annotated[
        str | None,
        typer.Option("--judge-model", metavar="NAME", help="With --judge URL: which model there."),
    ] = None,
    index_dir: flags.IndexFlag = None,
    embedder: flags.EmbedderFlag = None,
    llm: flags.LlmFlag = None,
    config: flags.ConfigFlag = None,
    as_json: flags.JsonFlag = False,
    quiet: flags.QuietFlag = False,
    offline: flags.OfflineFlag = None,
) -> None:
    """Score answers against a gold set."""
    settings = flags.settings(
        config, new=calibrate, index=index_dir, embedder=embedder, llm=llm, offline=offline,
        answer_threshold=0.0 if calibrate else None,  # a claim to weigh for every question
    )  # fmt: skip
    from rag.commands.evalrun import Request, run
    from rag.commands.opening import open_engine

    def engine(generate: bool) -> Engine:
        consent = console.consent(quiet=quiet or as_json)
        return open_engine(settings, consent, generate=generate)

    chosen = _judge(judge, judge_model, settings, quiet=quiet or as_json)
    with (
        console.progress("evaluating", quiet=quiet or as_json, unit="questions") as tell,
        console.progress("judging", quiet=quiet or as_json, unit="answers", pace=True) as judged,
    ):

        def progress(done: int, total: int) -> None:
            tell("", done, total)

        found = run(
            Request(gold, answers, report, retrieval, baseline, gate, calibrate,
                    max_false_refusals, config, failures, chosen),
            settings,
            open_engine=engine,
            answers_for=lambda asked, out: _answers_for(
                asked, out, settings, quiet=quiet or as_json
            ),
            progress=progress,
            judging_progress=lambda done, total: judged("", done, total),
        )  # fmt: skip
    console.out(json_text(found.report) if as_json else found.text)
    if not quiet:
        for note in found.notes:
            console.note(note)
    if found.error:
        raise found.error
    if not found.met:
        raise typer.Exit(1)


def _judge(
    judge: str | None, model: str | None, settings: Settings, *, quiet: bool
) -> Judge | None:
    """The judge that was named, not opened yet."""
    if judge is None and model is None:
        return None
    from rag.backends.endpoint import open_endpoint
    from rag.commands.opening import llm_name, load_generator
    from rag.config import JUDGE_KEY
    from rag.evaluation.judges import local_judge, remote_judge

    if judge in (None, "local"):
        if model is not None or judge is None:
            raise UsageError(
                "--judge-model names a model of an endpoint, and there is none",
                hint="add --judge URL; the local judge is the model of --llm",
            )

        def opened() -> Generator:
            with console.busy("loading the language model …", quiet=quiet):
                return load_generator(settings, console.consent(quiet=quiet))

        return local_judge(llm_name(settings), opened)
    endpoint = open_endpoint(judge, model or "", os.environ.get(JUDGE_KEY, ""))
    if settings.offline:
        raise UsageError(
            "offline, no judge behind a URL can be asked",
            hint="use --judge local, or --online",
        )
    console.note(
        "questions, reference answers and answers are sent to"
        f" {endpoint.url}: unless it runs here, they leave this machine"
    )
    return remote_judge(endpoint)


def batch(
    questions: Annotated[
        Path,
        typer.Argument(parser=flags.path, help="A .txt, .csv or .jsonl file of questions."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="OUT", parser=flags.path, help="Answers, as JSONL."),
    ],
    form: Annotated[
        Literal["jsonl", "csv", "md"],
        typer.Option("--format", help="What OUT is: csv and md are for people."),
    ] = "jsonl",
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Answer again what failed before.")
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
    """Answer a file of questions; run again, it goes on where it stopped."""
    settings = flags.settings(config, index=index_dir, embedder=embedder, llm=llm, offline=offline)
    from rag.commands.batch import read_questions
    from rag.commands.render import batch_json, batch_text

    silent = quiet or as_json
    wanted = out.suffix.lower().removeprefix(".")
    if wanted in ("csv", "md") and form == "jsonl" and not silent:
        console.note(f"{printable(str(out))} will hold JSON lines; for people: --format {wanted}")
    report = _answered(
        read_questions(questions), out, settings, quiet=silent,
        docs=docs or (), where=where or (), form=form, retry_errors=retry_errors,
        question_file=questions,
    )  # fmt: skip
    console.out(batch_json(report, str(out)) if as_json else batch_text(report, str(out)))
    if report.failed and not silent:
        console.note(
            f"{report.failed:,} failed: each row's error says why;"
            " again with --retry-errors answers them anew"
        )


def _answered(
    questions: list[Question],
    out: Path,
    settings: Settings,
    *,
    quiet: bool,
    docs: Sequence[str] = (),
    where: Sequence[str] = (),
    **more: Any,
) -> BatchReport:
    """Run a batch on the configured index, saying how far it is; ``more`` goes to ``run_batch``."""
    from contextlib import closing

    from rag.commands.batch import run_batch
    from rag.commands.opening import fingerprint, open_engine
    from rag.retrieval.scope import scope_of
    from rag.storage.store import open_index

    def engine() -> Engine:
        with console.busy("loading the index and the models …", quiet=quiet):
            consent = console.consent(quiet=quiet)
            return open_engine(settings, consent, store=store, docs=docs, where=where)

    with (
        closing(open_index(Path(settings.index))) as store,
        console.progress("answering", quiet=quiet, unit="questions", pace=True) as tell,
    ):
        # What matches nothing is said before anything is written.
        scope = scope_of(docs, store.documents(), where=where)
        return run_batch(
            questions,
            out=out,
            settings=fingerprint(settings, store, scope=scope),
            open_engine=engine,
            progress=tell,
            **more,
        )


def _answers_for(
    gold: GoldSet, out: Path, settings: Settings, *, quiet: bool
) -> Iterator[dict[str, Any]]:
    """The answers to a gold set in order; those that ``out`` does not hold are made and added."""
    from rag.commands.batch import Question, run_file
    from rag.evaluation.evaluate import read_answers

    try:
        complete = out.exists() and sum(1 for _ in read_answers(out)) >= len(gold.questions)
    except InputUnreadable:
        complete = False  # of a run that was killed: its torn last line is mended
    if out.exists() and not run_file(out).exists():
        complete = True  # made elsewhere: scored as it is
    if not complete:
        rows = [Question(n, row.id, row.question) for n, row in enumerate(gold.questions, 1)]
        _answered(rows, out, settings, quiet=quiet)
    yield from read_answers(out)
