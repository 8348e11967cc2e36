"""The docs name every command and every setting, and no other."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from rag.config import Settings

ROOT = Path(__file__).parents[1]
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_has_help_and_a_section() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "rag", "--help"], capture_output=True, text=True, check=True
    ).stdout
    listed = re.findall(r"^  (\w+)  +(\S.*)$", shown.split("Commands:")[1], re.MULTILINE)
    assert len(listed) >= 6
    for name, _help in listed:
        assert re.search(rf"^## rag {name}\b", COMMANDS, re.MULTILINE), name


def test_every_setting_is_in_the_table_with_its_default() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", COMMANDS, re.MULTILINE))
    assert set(table) == {field.name for field in fields(Settings)}
    for field in fields(Settings):
        default = str(field.default).lower() if field.default is not False else "false"
        shown = table[field.name].strip("`").lower()
        assert shown in (default, default.removesuffix(".0"), "per-user cache"), field.name


def test_the_readme_lists_every_module_and_both_commands() -> None:
    for path in (ROOT / "rag").rglob("*"):
        name = f"{path.name}/" if path.is_dir() else path.name
        if path.suffix in ("", ".py") and not name.startswith("__"):
            assert f"  {name} " in README, name
    assert "make ask" in README
    assert "make test" in README
    for path in re.findall(r"\]\(([\w/.]+\.md)\)", README):
        assert (ROOT / path).is_file(), path


def test_the_prompts_travel_in_the_wheel() -> None:
    config = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"prompts" = "rag/_prompts"' in config
