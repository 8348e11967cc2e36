"""Rows of JSON against the types of ``records``: whoever edits a file by hand gets types wrong."""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rag.records import Answer


def check_answer(row: dict[str, Any]) -> None:
    """Make sure that what stands in a row of ``rag.answer/1`` is of the type that it must be.

    What is missing, and what is there besides, is left to whoever needs it.

    Raises:
        KeyError: It does not name its models.
        TypeError: Something is of another type.
        ValueError: A text is none that can be written, or a word is none of those that there are.
    """
    check({**row, **row["models"]}, Answer)


def check(value: Any, kind: Any) -> None:
    """The same for a value and a type that stands in ``records``."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):  # of something and None
        if value is not None:
            check(value, inner[0])
    elif origin is tuple and isinstance(value, list):
        for each in value:
            check(each, inner[0])
    elif is_dataclass(kind) and isinstance(value, dict):
        hints = _hints(kind)  # type: ignore[arg-type]  # mypy takes no dataclass for hashable
        for name in hints.keys() & value.keys():
            check(value[name], hints[name])
    elif origin is Literal:
        if value not in inner:
            raise ValueError(f"{value!r:.60} is none of {', '.join(inner)}")
    elif type(value) is not kind and (kind, type(value)) != (float, int):
        raise TypeError(f"{value!r:.60} is no {getattr(kind, '__name__', 'list')}")
    elif kind is str:
        value.encode()  # half a character is none


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
