"""A report as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_report(report: dict[str, Any], folder: Path) -> Path:
    """Write ``report.html``."""
    path = folder / "report.html"
    count = int(report["gold"]["questions"])
    path.write_text(f"<!doctype html><title>rag</title><p>{count} questions\n", encoding="utf-8")
    return path
