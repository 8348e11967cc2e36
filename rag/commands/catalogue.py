"""The commands about models: ``rag models pull``, ``list`` and ``verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from rag.commands import console, flags
from rag.errors import ModelUnusable
from rag.terminal import json_text

app = typer.Typer(help="Fetch, list and verify models.", rich_markup_mode=None)


@app.command("pull")
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Catalogue or hub names; default: those configured.")
    ] = None,
    config: flags.ConfigFlag = None,
    quiet: flags.QuietFlag = False,
    offline: flags.OfflineFlag = None,
) -> None:
    """Fetch models and verify them."""
    settings = flags.settings(config, offline=offline)
    from rag.backends import fetch, models

    folder = models.models_folder(settings.models)
    for name in names or [settings.embedder, settings.llm]:
        if name in ("hash", "extractive"):
            continue
        with console.progress(f"fetching {name}", quiet=quiet, unit="bytes") as tell:
            path = fetch.pull(
                name, folder=folder, offline=settings.offline, progress=tell, say=console.note
            )
        console.out(f"{name}: {path}")


@app.command("list")
def list_(config: flags.ConfigFlag = None, as_json: flags.JsonFlag = False) -> None:
    """List the catalogue, and which of it is on this machine."""
    settings = flags.settings(config)
    from dataclasses import asdict

    from rag.backends import models

    states = models.status(models.models_folder(settings.models))
    if as_json:
        console.out(json_text({"schema": "rag.models/1", "models": [asdict(s) for s in states]}))
        return
    for state in states:
        here = "here" if state.present else "not fetched"
        console.out(
            f"{state.name:40} {state.kind:9} {state.size / 1e6:8.1f} MB  {state.license:12} {here}"
        )


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Catalogue names; default: all that are here.")
    ] = None,
    config: flags.ConfigFlag = None,
    quiet: flags.QuietFlag = False,
) -> None:
    """Hash models in full and compare with the pinned sums."""
    settings = flags.settings(config)
    from rag.backends import models

    folder = models.models_folder(settings.models)
    chosen = names or [s.name for s in models.status(folder) if s.present and s.license]
    bad: list[str] = []
    for name in chosen:
        with console.progress(f"verifying {name}", quiet=quiet, unit="bytes") as tell:
            problems = models.verify(name, folder=folder, progress=tell)
        console.out(f"{name}: {'; '.join(problems) or 'sound'}")
        if problems:
            bad.append(name)
    if bad:
        raise ModelUnusable(
            f"{len(bad)} of {len(chosen)} models are not sound",
            hint=f"fetch again: rag models pull {' '.join(bad)}",
        )
    if not chosen:
        console.out("no models here; fetch them: rag models pull")
