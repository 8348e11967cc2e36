"""Whether a claim takes a figure of a table from the column that it names.

"$77.76 in 2004" has all its words and figures in a row that says ``2006: $77.76 | 2004: $49.53``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.documents.converted import CELLS
from rag.documents.drawn import ROWS
from rag.words import numbers, terms

_CLAUSE = re.compile(r"[,;]\s+|\s+(?:and|or|but|while|whereas)\s+")


@dataclass(frozen=True, slots=True)
class _Column:
    name: frozenset[str]  # what tells it from the others
    figures: frozenset[str]


def of_another_column(claim: str, table: str) -> str:
    """The figure that a claim gives as another column's, or "".

    Only where it is plain which column is meant: each clause names one and gives one figure of the
    row, or as many are named as figures are given, one after the other.

    Args:
        claim: One sentence.
        table: Rows as ``drawn.py`` and ``converted.py`` write them; another text has no columns.
    """
    wrong: list[str] = []
    right: set[str] = set()
    for row in table.split(ROWS):
        for column, figure in _pairs(claim, _columns(row)):
            if figure in column.figures:
                right.add(figure)
            else:
                wrong.append(figure)
    return next((figure for figure in wrong if figure not in right), "")


def _pairs(claim: str, columns: list[_Column]) -> Iterator[tuple[_Column, str]]:
    """Each column that a claim names with the figure that it gives of it."""
    clauses = [list(_said(clause, columns)) for clause in _CLAUSE.split(claim)]
    groups = [clause for clause in clauses if any(isinstance(said, str) for said in clause)]
    if not all(map(_paired, groups)):
        groups = [[said for clause in clauses for said in clause]]
    for group in groups:
        named = [said for said in group if isinstance(said, _Column)]
        figures = [said for said in group if isinstance(said, str)]
        if len(named) == len(figures) and group in (named + figures, figures + named):
            yield from zip(named, figures, strict=True)


def _columns(row: str) -> list[_Column]:
    """The columns of a row but the first, which says what the row is of; of one column none."""
    cells = [cell.partition(": ") for cell in row.strip("| ").split(CELLS)[1:]]
    found = [(frozenset(terms(name)), numbers(cell)) for name, colon, cell in cells if colon]
    shared = frozenset.intersection(*(name for name, _ in found)) if found else frozenset()
    named = frozenset().union(*(name for name, _ in found))
    columns = [_Column(name - shared, frozenset(figures - named)) for name, figures in found]
    return columns if len(columns) > 1 else []


def _said(clause: str, columns: list[_Column]) -> Iterator[_Column | str]:
    """What a clause says of a row, in order: columns that it names, figures that it gives."""
    open_ = {column: set(column.name) for column in columns if column.name}
    given = {figure for column in columns for figure in column.figures}
    for term in terms(clause):
        if term in given:
            yield term
        for column in list(open_):
            open_[column].discard(term)
            if not open_[column]:
                del open_[column]
                yield column


def _paired(clause: list[_Column | str]) -> bool:
    return len(clause) == 2 and isinstance(clause[0], str) != isinstance(clause[1], str)
