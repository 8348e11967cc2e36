"""In which language a text is written, where it says enough to tell."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

_ENOUGH = 4000  # code points: more of them change nothing
_LETTERS = 24  # fewer are names and numbers in any language
_SURE = 0.5  # probability from which it is told
_loading = threading.Lock()


def prepare() -> None:
    """Begin to load the model (0.7 s, most of it unpacking) while something else is done."""
    threading.Thread(target=_identifier, daemon=True).start()


def language_of(prose: str) -> str:
    """The ISO 639 code of a text's language (py3langid), or "" where that is a guess.

    Args:
        prose: Running text; of headings, names and code it would tell anything.
    """
    text = prose[:_ENOUGH]
    if sum(c.isalpha() for c in text) * (1 + 2 * (not text.isascii())) < _LETTERS:
        return ""  # a Chinese character says more than a Latin letter
    language, probability = _identifier().classify(text)
    return str(language) if probability >= _SURE else ""


def _identifier() -> Any:
    with _loading:
        return _loaded()


@cache
def _loaded() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
