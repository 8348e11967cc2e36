"""Texts to unit vectors: the sentence-transformers model, and a shipped one without weights."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rag.errors import ModelUnusable
from rag.records import Embedder, FloatMatrix
from rag.words import stem, tokens

HASH = "hash"


def open_embedder(name: str, folder: Path) -> Embedder:
    """Open the embedder stored at a verified folder; ``hash`` needs no folder."""
    return HashEmbedder() if name == HASH else TransformerEmbedder(name, folder)


class TransformerEmbedder:
    """A sentence-transformers model on the CPU.

    Args:
        name: What the index is stamped with.
        folder: A verified sentence-transformers folder; the network is never asked.

    Raises:
        ModelUnusable: The folder is not a model that sentence-transformers can load.
    """

    def __init__(self, name: str, folder: Path) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        # Before the imports below: nothing may ask the hub for updates.
        os.environ["HF_HUB_OFFLINE"] = "1"
        logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
        logging.getLogger("transformers").setLevel(logging.ERROR)
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        try:
            self._model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ModelUnusable(
                f"{folder} is not an embedder that sentence-transformers can load: {error}",
                hint="name a sentence-transformers folder, or run: rag models pull",
            ) from error
        self.name = name
        self.dimension = int(self._model.get_embedding_dimension())
        self.max_tokens = int(self._model.max_seq_length)
        self._counter = _counter(self._model.tokenizer)
        self._encoding = threading.Lock()  # the tokenizer is set to pad anew by every call

    def count(self, text: str) -> int:
        """The text's length in word pieces, special ones included, never cut or padded."""
        return self._counter(text)

    def embed(self, texts: list[str]) -> FloatMatrix:
        """Return float32 (n, dimension), rows of unit length.

        Raises:
            ValueError: A text is longer than the model reads; it is never cut silently.
        """
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        longest = max(self.count(text) for text in texts)
        if longest > self.max_tokens:
            raise ValueError(f"a text of {longest} tokens; the embedder reads {self.max_tokens}")
        with self._encoding:
            vectors = self._model.encode(
                texts,
                batch_size=32,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _counter(tokenizer: Any) -> Callable[[str], int]:
    """Count tokens with a tokenizer of our own: the model's is set to cut and to pad."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda text: len(tokenizer(text, truncation=False, padding=False)["input_ids"])
    own = type(backend).from_str(backend.to_str())
    own.no_truncation()
    own.no_padding()
    return lambda text: len(own.encode(text).ids)


class HashEmbedder:
    """Feature hashing of word stems and their neighbours: no weights, no downloads, instant.

    For tests and for machines without a model. Two texts are near when they share words.
    """

    name = HASH
    dimension = 384
    max_tokens = 256

    def count(self, text: str) -> int:
        """Words and two special tokens."""
        return len(tokens(text)) + 2

    def embed(self, texts: list[str]) -> FloatMatrix:
        """Return float32 (n, 384), rows of unit length."""
        matrix = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            stems = [stem(word) for word in tokens(text)]
            for feature in stems + [f"{a} {b}" for a, b in pairwise(stems)]:
                code = zlib.crc32(feature.encode())
                matrix[row, code % self.dimension] += 1.0 if code & 0x80000000 else -1.0
            if not matrix[row].any():
                matrix[row, 0] = 1.0
        unit: FloatMatrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        return unit


def folder_name(folder: Path) -> str:
    """A name for a user's own model folder that changes with its weights."""
    weights = next(iter(sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin"))), None)
    if weights is None:
        return folder.name
    with weights.open("rb") as handle:
        return f"{folder.name}@{hashlib.file_digest(handle, 'sha256').hexdigest()[:12]}"
