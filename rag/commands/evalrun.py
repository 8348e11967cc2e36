"""One run of ``rag eval``: everything checked, then answered, scored, compared and written.

Whatever can be wrong with the input is found before the first question is answered, and answers
are kept as they are made, so that nothing that took hours is lost to a mistake in a file name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.answering import Engine
from rag.answers.claims import NOT_ASKED
from rag.commands.opening import embedder_name
from rag.config import CONFIG_FILE, Settings
from rag.errors import RagError, UsageError
from rag.evaluation import calibrate, judging, report_file, scoreboard
from rag.evaluation import evaluate as evaluation
from rag.evaluation.compare import Bound, check_gate, compare, read_gate
from rag.evaluation.gold import GoldSet, Texts, locate, read_gold
from rag.evaluation.judges import Judge
from rag.storage.store import Store, open_index

ANSWERS_FILE = "answers.jsonl"

OpenEngine = Callable[[bool], Engine]  # whether with the language model
AnswersFor = Callable[[GoldSet, Path], Iterable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for.

    Attributes:
        gold: The gold set.
        answers: Where answers are, or are to be kept; None keeps them beside the report.
        report: Folder for the report; None writes none.
        retrieval: Score retrieval only.
        baseline: An earlier report to compare with.
        gate: A file of thresholds.
        calibrate: Choose ``answer_threshold`` and write it to ``config``.
        max_false_refusals: With it: most of the answerable questions, as a share, refused.
        config: The settings file; None means ``rag.toml``.
        failures: Also list each question with a wrong outcome.
        judge: Whom to ask, apart from all that is measured, whether the answers are correct.
    """

    gold: Path
    answers: Path | None = None
    report: Path | None = None
    retrieval: bool = False
    baseline: Path | None = None
    gate: Path | None = None
    calibrate: bool = False
    max_false_refusals: float = 0.05
    config: Path | None = None
    failures: bool = False
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        report: The report, with what ``--baseline``, ``--gate`` and ``--calibrate`` found.
        text: The same for a terminal.
        notes: What was written where, and what is worth a warning.
        met: Whether every threshold of the gate is met.
        error: What is to be raised after the text was shown.
    """

    report: dict[str, Any]
    text: str
    notes: tuple[str, ...]
    met: bool
    error: RagError | None = None


def run(
    request: Request,
    settings: Settings,
    *,
    open_engine: OpenEngine,
    answers_for: AnswersFor,
    progress: Callable[[int, int], None],
    judging_progress: Callable[[int, int], None] = lambda *_: None,
) -> Outcome:
    """Evaluate.

    Args:
        request: What was asked for.
        settings: All settings.
        open_engine: Loads the models; called only where something is to be searched.
        answers_for: Gold set and file to the answers, in order; answers what the file lacks.
        progress: Called with how many questions are searched, and how many there are.
        judging_progress: Called with how many answers are judged, and how many there are to judge.

    Raises:
        UsageError: Options that do not go together, or a bad gate or settings file.
        InputUnreadable: A bad gold set, answers file or baseline.
        IndexUnusable: No index.
        ModelUnusable: The judge cannot be asked; the answers, and what it said, are kept.
    """
    of_answers = (request.answers, request.calibrate, request.failures, request.judge)
    if request.retrieval and any(of_answers):
        raise UsageError(
            "--retrieval scores no answers, so it goes with none of --answers, --calibrate,"
            " --failures and --judge",
            hint="leave one of them out",
        )
    gold = read_gold(request.gold)
    bounds = read_gate(request.gate) if request.gate else ()
    earlier = report_file.read_report(request.baseline) if request.baseline else None
    if request.calibrate:
        calibrate.check_config(request.config or Path(CONFIG_FILE))
    if request.report:
        report_file.prepare_folder(request.report)
    store = open_index(Path(settings.index))
    texts = evaluation.StoredTexts(store)
    if request.retrieval:
        report = _retrieval(gold, store, texts, settings, open_engine, progress)
    else:
        report = _answers(request, gold, texts, settings, answers_for, judging_progress)
    return _told(request, report, bounds, earlier, store)


def _retrieval(
    gold: GoldSet,
    store: Store,
    texts: Texts,
    settings: Settings,
    open_engine: OpenEngine,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    spans = locate(gold, texts)
    engine = open_engine(False)
    depth = max(evaluation.DEEPEST, settings.passages)
    return evaluation.evaluate_retrieval(
        gold,
        lambda question: engine.search(question, depth)[1],
        spans=spans,
        texts=texts,
        settings=asdict(settings),
        models={"embedder": embedder_name(settings), "llm": ""},
        index_generation=store.generation,
        progress=lambda done: progress(done, len(gold.questions)),
    )


def _answers(
    request: Request,
    gold: GoldSet,
    texts: Texts,
    settings: Settings,
    answers_for: AnswersFor,
    judging_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    spans = locate(gold, texts)
    with ExitStack() as stack:
        if request.answers:
            out = request.answers
        elif request.report:
            out = request.report / ANSWERS_FILE
        else:
            out = Path(stack.enter_context(tempfile.TemporaryDirectory())) / ANSWERS_FILE
        report = evaluation.evaluate(
            gold,
            answers_for(gold, out),
            spans=spans,
            texts=texts,
            settings=asdict(settings),
        )
        if request.judge:
            report["judge"] = judging.judge_rows(
                report["rows"], request.judge, file=judging.judgements_file(out),
                progress=judging_progress,
            )  # fmt: skip
        return report


def _told(
    request: Request,
    report: dict[str, Any],
    bounds: tuple[Bound, ...],
    earlier: dict[str, Any] | None,
    store: Store,
) -> Outcome:
    """Compare, gate and calibrate; write what is to be written."""
    texts = [scoreboard.report_text(report)]
    notes: list[str] = []
    error: RagError | None = None
    if "judge" in report:
        texts.append(scoreboard.judge_text(report["judge"]))
    if request.failures:
        texts.append(scoreboard.failures_text(report))
    if report["index_generation"] != store.generation:
        notes.append(
            f"the answers are of index generation {report['index_generation']}, and the index is"
            f" now at {store.generation}"
        )
    if earlier is not None:
        report["baseline"] = {"path": str(request.baseline), **compare(report, earlier)}
        texts.append(scoreboard.comparison_text(report["baseline"]))
    missed = check_gate(report, bounds)
    if request.gate:
        report["gate"] = missed
        texts.append(scoreboard.gate_text(missed, len(bounds)))
    if request.calibrate:
        points = calibrate.trade_off(report)
        texts.append(scoreboard.trade_off_text(points))
        config = request.config or Path(CONFIG_FILE)
        try:
            calibrate.check_answers(report["rows"], withheld_as=NOT_ASKED)
            choice = calibrate.choose(report, max_false=request.max_false_refusals)
        except RagError as failed:
            error = failed
        else:
            report["calibration"] = {**asdict(choice), "noise": choice.noise, "config": str(config)}
            note = calibrate.provenance(choice, report)
            calibrate.write_threshold(config, choice.threshold, note)
            texts.append(scoreboard.choice_text(choice, str(config)))
    if request.report:
        notes.append(f"report: {_written(report, request.report)}")
    return Outcome(report, "\n\n".join(texts), tuple(notes), met=not missed, error=error)


def _written(report: dict[str, Any], folder: Path) -> Path:
    from rag.evaluation.report import write_report

    report_file.write_json(report, folder)
    return write_report(report, folder)
