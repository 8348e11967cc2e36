"""Which files are documents, by their names."""

from __future__ import annotations

from pathlib import PurePath

from rag.terminal import printable

# Formats whose stored text is the file's own decoded text; nothing is parsed.
TEXT_FORMATS = frozenset({"text", "markdown", "rst", "code"})

_SUFFIXES = {
    "text": "txt text log",
    "markdown": "md markdown mdown mkd",
    "rst": "rst rest",
    "code": "py pyi js mjs cjs jsx ts tsx java kt kts scala groovy c h cc cpp cxx hh hpp hxx m mm"
    " cs fs go rs swift rb php pl pm lua r jl hs ml mli ex exs erl clj lisp el scm dart zig nim v"
    " sh bash zsh fish ps1 bat sql graphql proto tf cmake mk gradle toml yaml yml ini cfg conf"
    " properties css scss less tex bib diff patch",
    "pdf": "pdf",
    "docx": "docx",
    "pptx": "pptx",
    "sheet": "xlsx xlsm xlsb xls ods",
    "csv": "csv tsv",
    "html": "html htm xhtml xht",
    "epub": "epub",
    "mail": "eml",
    "json": "json",
    "jsonl": "jsonl ndjson",
}
_FORMATS = {f".{suffix}": name for name, row in _SUFFIXES.items() for suffix in row.split()}
# Files that have no suffix and are read all the same.
_NAMES = {
    **dict.fromkeys(
        "readme license licence copying copyright authors contributors credits news changes"
        " changelog history todo install notice thanks faq".split(),
        "text",
    ),
    **dict.fromkeys("makefile dockerfile".split(), "code"),
}
_ARCHIVES = frozenset(
    ".zip .tar .gz .tgz .bz2 .tbz .xz .txz .zst .7z .rar .jar .war .whl .deb .rpm .iso .mbox"
    " .cab .lz .lzma .z".split()
)
_SAVE_AS = {
    ".doc": ".docx", ".dot": ".docx", ".rtf": ".docx", ".odt": ".docx", ".pages": ".docx",
    ".ppt": ".pptx", ".odp": ".pptx", ".key": ".pptx", ".msg": ".eml",
    ".mobi": ".epub", ".azw3": ".epub", ".djvu": ".pdf", ".ps": ".pdf",
}  # fmt: skip


def format_of(name: str) -> str:
    """The format of a file by its name, or "" where it is none that is read."""
    suffix = PurePath(name).suffix.lower()
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    known = suffix in _ARCHIVES or suffix in _SAVE_AS
    return "" if known else _NAMES.get(name.partition(".")[0].lower(), "")  # README.Debian


def why_unread(name: str) -> str:
    """The reason why a file of no known format is left out."""
    suffix = PurePath(name).suffix.lower()
    if suffix in _ARCHIVES:
        return "an archive is not opened; unpack it"
    if suffix in _SAVE_AS:
        return f"format {suffix} is not read; save it as {_SAVE_AS[suffix]}"
    return f"format {printable(suffix) or 'without a suffix'} is not read"
