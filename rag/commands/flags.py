"""The flags that commands share, and what they and all other layers of settings add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.errors import UsageError
from rag.files import named

if TYPE_CHECKING:
    from rag.config import Settings


def path(text: str) -> Path:
    """What stands for a file or folder; every argument and option that names one is read so."""
    if text == "-":
        raise UsageError(
            "nothing is read from standard input or written to standard output as a file",
            hint="name a file; one that is called so is ./-",
        )
    return Path(named(text))


IndexFlag = Annotated[str | None, typer.Option("--index", metavar="DIR", help="Index folder.")]
ConfigFlag = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", parser=path, help="Settings file (rag.toml)."),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
OfflineFlag = Annotated[
    bool | None, typer.Option("--offline/--online", help="Never fetch anything.")
]
EmbedderFlag = Annotated[
    str | None, typer.Option("--embedder", help="Catalogue name, folder, hub name, or hash.")
]
LlmFlag = Annotated[
    str | None, typer.Option("--llm", help="Catalogue name, GGUF file, or extractive.")
]
DocsFlag = Annotated[
    list[str] | None,
    typer.Option("--docs", metavar="GLOB", help="Only documents whose path matches; repeatable."),
]
WhereFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Only documents that meet it, as 'date>=2024' or 'author~Smith'; repeatable.",
    ),
]


def settings(config: Path | None, *, new: bool = False, **flags: Any) -> Settings:
    """Settings of every layer; ``flags`` that are None were not given.

    With ``new`` the file may still have to be written.
    """
    from rag.config import load

    return load(config_file=config, new=new, flags=flags)
