"""Who may import whom, who may print and exit, and what ``rag --help`` may load."""

from __future__ import annotations

import ast
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from command import ROOT, environment

FILES = [
    file
    for file in (ROOT / "rag").rglob("*.py")
    if file.parent.name == "rag" or file.stem != "__init__"  # a package's is a docstring alone
]
MODULES = {file.stem: ast.parse(file.read_text()) for file in FILES}

# Reading down the table is reading the program: a module may import only what stands above it,
# and of that only what is named. A new module needs a row; a new arrow needs a reason. Each block
# is one package, or some modules beside the packages.
LAYERS: list[tuple[str, dict[str, str]]] = [
    ("rag", {
        "__init__": "",
        "records": "",
        "errors": "",
        "terminal": "",
        "words": "",
        "clean": "",
        "files": "errors",
        "typed": "records",
        "config": "errors files",
    }),
    ("documents", {
        "formats": "terminal",
        "find": "records errors formats terminal",
        "decode": "",
        "converted": "records",
        "front": "",
        "language": "",
        "describe": "records words clean front",
        "headings": "records clean converted front",
        "ocr": "converted errors",
        "pdf": "records converted",
        "office": "converted",
        "markup": "converted decode",
        "mail": "converted decode markup",
        "tables": "converted decode",
        "parse": "converted mail markup office pdf tables",
        "child": "converted ocr parse",
        "sandbox": "records terminal converted ocr child",
        "read": "records decode find formats headings sandbox",
        "drawn": "clean converted",
        "blocks": "words clean front headings describe drawn",
        "split": "records clean headings language describe blocks",
    }),
    ("storage", {
        "sums": "records",
        "database": "errors files",
        "schema": "",
        "lexical": "",
        "store": "records errors sums lexical database schema",
        "similar": "store",
        "writing": "records errors database schema files clean words split sums store similar",
        "dense": "records files store",
        "soundness": "errors database sums store writing dense",
        "mending": "errors database schema files store writing similar soundness",
        "changes": "records errors formats find sandbox read sums store",
        "staging": "records split writing",
    }),
    ("rag", {
        "indexing": "records find sandbox read split database store writing similar dense"
        " mending changes language staging",
        "watching": "errors find store indexing",
    }),
    ("backends", {
        "models": "errors",
        "fetch": "errors files models",
        "embed": "records errors words",
        "prefixes": "errors files",
        "extractive": "records",
        "generate": "records errors split prefixes extractive",
        "endpoint": "records errors",
    }),
    ("retrieval", {
        "conditions": "records errors terminal formats",
        "scope": "records errors terminal conditions",
        "retrieve": "records errors words store dense",
        "surroundings": "converted drawn records words store",
        "absent": "records words store",
        "evidence": "clean records words store retrieve surroundings",
    }),
    ("verification", {
        "hops": "words",
        "spans": "records words",
        "columns": "words converted drawn",
        "subjects": "words spans",
        "figures": "words",
        "faults": "words hops columns spans subjects figures",
        "verify": "records words spans faults",
        "asked": "words hops spans",
    }),
    ("answers", {
        "compose": "records errors",
        "citing": "records words clean store spans",
        "leaning": "words",
        "parts": "words leaning",
        "answerability": "",
        "rerank": "records compose",
        "said": "records words store citing spans subjects verify",
        "claims": "records words store retrieve evidence compose spans verify asked citing said"
        " answerability rerank",
        "followup": "records words compose leaning",
    }),
    ("rag", {
        "answering": "records words store dense scope retrieve evidence compose spans citing"
        " parts hops said claims absent",
    }),
    ("lists", {
        "questions": "records errors terminal words decode",
        "rows": "errors files questions terminal",
        "sheets": "clean terminal",
    }),
    ("evaluation", {
        "gold": "errors",
        "resample": "",
        "metrics": "resample",
        "judges": "records errors compose extractive endpoint",
        "judging": "errors files rows metrics judges",
        "scoring": "gold metrics",
        "report_file": "errors terminal",
        "evaluate": "records errors typed store gold resample metrics scoring report_file",
        "compare": "errors resample metrics report_file",
        "calibrate": "errors resample metrics report_file evaluate",
        "scoreboard": "terminal metrics report_file calibrate",
        "plots": "terminal",
        "report_rows": "",
        "report_figures": "plots report_rows",
        "report": "errors terminal files plots report_file report_rows report_figures",
    }),
    ("commands", {
        "opening": "__init__ records errors config models fetch ocr sandbox embed store dense"
        " scope compose generate claims answering",
        "doctor": "records errors config database models store writing similar soundness"
        " generate opening",
        "render": "records terminal clean indexing answering doctor",
        "batch": "records errors files answering render questions rows sheets",
        "evalrun": "errors config store claims answering gold judges judging evaluate compare"
        " calibrate scoreboard report_file report opening",
        "console": "terminal opening",
        "flags": "errors config files",
        "many": "records errors terminal config store scope answering gold endpoint judges"
        " evaluate opening render batch evalrun console flags",
        "speaking": "records render console",
        "session": "records errors files typed words answering scope followup render sheets"
        " speaking",
        "slash": "records errors terminal conditions scope render session",
        "chat": "errors terminal opening session slash render speaking console flags",
        "show": "records errors terminal clean store console flags",
        "catalogue": "errors terminal models fetch console flags",
    }),
    ("rag", {
        "cli": "__init__ errors terminal database indexing watching opening doctor retrieve"
        " render console flags many speaking chat show catalogue",
        "__main__": "cli",
    }),
]  # fmt: skip
MAY_IMPORT = {module: allowed for _, rows in LAYERS for module, allowed in rows.items()}
HEAVY = (
    "torch", "faiss", "llama_cpp", "sentence_transformers", "transformers", "numpy", "nupunkt",
    "huggingface_hub", "rich", "scipy", "prompt_toolkit", "lxml", "pypdfium2", "docx", "pptx",
    "markdown_it", "yaml", "py3langid",
)  # fmt: skip


def imported(tree: ast.Module) -> set[str]:
    """Modules of the package that a module imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            names = [alias.name for alias in node.names]
            dotted = [f"{node.module}.{name}" for name in names]
        else:
            continue
        for name in dotted:
            package, *rest = name.split(".")
            if package == "rag":
                found.add(next((part for part in rest if part in MODULES), "__init__"))
    return found


def test_imports_point_up_the_table_only() -> None:
    assert len(FILES) == len(MODULES), "no two modules of one name"
    places = {module: package for package, rows in LAYERS for module in rows}
    assert {file.stem: file.parent.name for file in FILES} == places, "one row each, none stale"
    above: set[str] = set()
    for module, allowed in MAY_IMPORT.items():
        assert set(allowed.split()) <= above, f"the row of {module} points down"
        above.add(module)
    arrows = {
        f"{module} -> {target}"
        for module, tree in MODULES.items()
        for target in imported(tree) - set(MAY_IMPORT[module].split())
    }
    assert not arrows
    assert "split" in imported(MODULES["writing"]), "the parser of imports sees something"
    assert "fetch" in imported(MODULES["opening"]), "also inside functions"


def test_only_the_command_line_prints_and_exits_and_nothing_unpickles() -> None:
    calls = {"print", "exit", "quit", "eval", "exec", "breakpoint", "input"}
    attributes = {"sys.exit", "sys.stdout", "sys.stderr", "os._exit", "sys.stdin"}
    unsafe = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
    found: set[str] = set()
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
            if module not in ("cli", "console"):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
                    found.add(f"{module}: {ast.unparse(node.func)}()")
                if text in attributes or text == "SystemExit":
                    found.add(f"{module}: {text}")
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names}
                if isinstance(node, ast.ImportFrom):
                    names = {(node.module or "").split(".")[0]}
                    names |= {alias.name for alias in node.names if alias.name in attributes}
                found |= {f"{module}: import {name}" for name in names & unsafe}
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                found.add(f"{module}: allow_pickle")
    assert not found
    assert any(ast.unparse(n) == "sys.exit" for n in ast.walk(MODULES["cli"]) if hasattr(n, "attr"))


def test_the_command_line_loads_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys, rag.cli\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(rag.cli.app, ['ask', '--help']).exit_code == 0\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_help_is_there_at_once(tmp_path: Path) -> None:
    def cpu_seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    took = []
    for _ in range(5):
        before = cpu_seconds()
        subprocess.run(
            [sys.executable, "-m", "rag", "--help"], cwd=tmp_path, env=environment(),
            stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        took.append(cpu_seconds() - before)
    # Processor time, not wall time; where the cores are shared even that is stretched.
    loaded = os.getloadavg()[0] > 0.7 * (os.cpu_count() or 1)
    assert statistics.median(took) < (0.45 if loaded else 0.3), took
