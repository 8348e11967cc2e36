"""Documents to stored passages with vectors, several documents at a time.

An encoder pads the texts of a batch to the longest one. Small documents embedded one by one pay for
that, and for the start of every batch: texts of many documents, sorted by length, took a quarter of
the time (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise

import numpy as np

from rag.documents.split import Split, embedding_text, split
from rag.records import Document, Embedder
from rag.storage.writing import Writer

_BATCH = 256  # texts embedded at a time: bounds memory, what a kill loses, how long Ctrl-C waits


class Staging:
    """Splits, embeds and stores documents; whoever adds some calls ``flush`` at the end.

    Args:
        store: Where they are staged.
        open_embedder: Called once, and only if there is something to embed.
        recipe: What they are made with.

    Attributes:
        embedded: How many texts were embedded.
    """

    def __init__(
        self, store: Writer, open_embedder: Callable[[], Embedder], *, recipe: str
    ) -> None:
        self.embedded = 0
        self._store, self._open, self._recipe = store, open_embedder, recipe
        self._embedder: Embedder | None = None
        self._waiting: list[tuple[Document, Split, list[str]]] = []

    def add(self, document: Document) -> None:
        """Stage a document, now or together with later ones."""
        embedder = self._embedder = self._embedder or self._open()
        parts = split(document, count=embedder.count, max_tokens=embedder.max_tokens)
        title = parts.description.title
        texts = [embedding_text(passage, title) for passage in parts.passages]
        texts += [s.clean for passage in parts.passages for s in passage.sentences]
        self._waiting.append((document, parts, texts))
        if sum(len(texts) for _, _, texts in self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Stage all that was added."""
        if not self._embedder or not self._waiting:
            return
        every = [text for _, _, texts in self._waiting for text in texts]
        vectors = np.concatenate(
            [np.zeros((0, self._embedder.dimension), dtype=np.float32)]
            + [self._embedder.embed(every[at : at + _BATCH]) for at in range(0, len(every), _BATCH)]
        )
        ends = pairwise(accumulate((len(texts) for _, _, texts in self._waiting), initial=0))
        for (document, parts, _), (start, end) in zip(self._waiting, ends, strict=True):
            passages = start + len(parts.passages)
            self._store.stage(
                document,
                parts,
                recipe=self._recipe,
                passage_vectors=vectors[start:passages],
                sentence_vectors=vectors[passages:end],
            )
        self.embedded += len(every)
        self._waiting.clear()
