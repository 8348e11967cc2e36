"""``report.json``: a report of the schema ``rag.report/1``, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from rag.errors import InputUnreadable, UsageError
from rag.terminal import json_text

SCHEMA = "rag.report/1"
REPORT_FILE = "report.json"

Report = dict[str, Any]


def prepare_folder(folder: Path) -> None:
    """Make sure that a report can be written, before hours go into answering.

    Raises:
        UsageError: The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror}",
            hint="name a folder that can be written: --report DIR",
        ) from error


def write_json(report: Report, folder: Path) -> Path:
    """Write ``report.json``, one row a line, whole or not at all."""
    path = folder / REPORT_FILE
    partial = folder / f"{REPORT_FILE}.part"
    head = json_text({k: v for k, v in report.items() if k != "rows"})
    try:
        with partial.open("w", encoding="utf-8", errors="replace") as file:
            file.write(head[:-1] + ', "rows": [')
            for number, row in enumerate(report["rows"]):
                file.write(",\n" if number else "\n")
                file.write(json_text(row))
            file.write("\n]}\n")
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


def read_report(path: Path) -> Report:
    """Read an earlier report: the file, or the folder that holds it.

    Raises:
        InputUnreadable: It is not there, or not a report.
    """
    file, hint = path, "name a folder that rag eval --report wrote, or its report.json"
    try:
        file = path / REPORT_FILE if path.is_dir() else path
        report = json.loads(file.read_bytes())
    except OSError as error:
        raise InputUnreadable(f"{file} cannot be read: {error.strerror}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise InputUnreadable(f"{file} is not JSON: {error}", hint=hint) from error
    if (
        not isinstance(report, dict)
        or report.get("schema") != SCHEMA
        or not isinstance(report.get("rows"), list)
    ):
        raise InputUnreadable(f"{file} is not a report (schema {SCHEMA})", hint=hint)
    return report
