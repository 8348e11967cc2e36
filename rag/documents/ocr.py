"""Pictures of text to text, with Tesseract: an extra, used in the process that parses files only.

``find_model`` looks for what that process needs before it starts; everything else runs inside it.
"""

from __future__ import annotations

import os
import re
import site
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rag.documents.converted import Picture, Unreadable
from rag.errors import ModelUnusable, UsageError

_LANGUAGES = re.compile(r"[A-Za-z_]{2,20}(?:\+[A-Za-z_]{2,20}){0,9}")
_SYSTEM = (
    "/usr/share/tesseract-ocr/5/tessdata", "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata", "/usr/local/share/tessdata", "/opt/homebrew/share/tessdata",
)  # fmt: skip
# Mean confidence in percent: clean pages have 90 and more, upside down or sideways about 40.
_LEAST_CONFIDENCE = 60
# A word that was broken at the end of a line; one with a capital may be two.
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])[-‐]\n(?=[a-zß-ÿ])")


@dataclass(frozen=True, slots=True)
class OcrModel:
    """What pages without text are recognised with.

    Attributes:
        folder: Where Tesseract's ``.traineddata`` files lie.
        languages: Their names, joined by ``+``.
        page_seconds: Time on the clock for one page.
    """

    folder: str
    languages: str
    page_seconds: int


def find_model(languages: str, *, page_seconds: int) -> OcrModel:
    """Find the engine and the data of some languages.

    Raises:
        ModelUnusable: One of them is not installed.
        UsageError: ``languages`` is no list of names.
    """
    if not _LANGUAGES.fullmatch(languages):
        raise UsageError(
            f"ocr_languages is {languages!r}", hint="names joined by +, for example eng+deu"
        )
    if find_spec("tesserocr") is None:
        raise ModelUnusable(
            "text recognition is not installed (extra: ocr)", hint="pip install '.[ocr]'"
        )
    here = [f"{base}/share/tessdata" for base in (sys.prefix, site.getuserbase())]
    folders = [Path(p) for p in (os.environ.get("TESSDATA_PREFIX", ""), *here, *_SYSTEM) if p]
    wanted = [f"{name}.traineddata" for name in languages.split("+")]
    for folder in folders:
        if all((folder / name).is_file() for name in wanted):
            return OcrModel(str(folder), languages, page_seconds)
    lacking = next((n for n in wanted if not any((f / n).is_file() for f in folders)), "")
    raise ModelUnusable(
        f"{lacking} is not installed" if lacking else f"no folder holds all of {languages}",
        hint="on Debian: apt-get install tesseract-ocr-LANGUAGE; or put all .traineddata files in"
        " one folder and name it: TESSDATA_PREFIX=FOLDER",
    )


class Tesseract:
    """Recognises page after page."""

    def __init__(self, model: OcrModel) -> None:
        import tesserocr

        self._milliseconds = model.page_seconds * 1000
        self._engine = tesserocr.PyTessBaseAPI(
            path=model.folder, lang=model.languages, psm=tesserocr.PSM.AUTO
        )

    def read(self, picture: Picture) -> str:
        """The text of a page, "" where there is none that can be read.

        A page that lies on its side is read by Tesseract as if it were upside down, one that is
        upside down as gibberish it is not sure of: such a page is turned and tried once more.

        Raises:
            Unreadable: It takes too long.
        """
        text, confidence = self._read(picture)
        if text.strip() and confidence < _LEAST_CONFIDENCE:
            text, confidence = self._read(picture.turned())
        return _BROKEN_WORD.sub("", text) if confidence >= _LEAST_CONFIDENCE else ""

    def _read(self, picture: Picture) -> tuple[str, int]:
        self._engine.SetImageBytes(picture.pixels, picture.width, picture.height, 1, picture.width)
        self._engine.SetSourceResolution(picture.dpi)
        if not self._engine.Recognize(self._milliseconds):
            raise Unreadable("takes too long to recognise (ocr_page_seconds)")
        return self._engine.GetUTF8Text(), self._engine.MeanTextConf()
