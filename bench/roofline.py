"""How near the language model comes to what this machine can do.

    python -m bench.roofline

Reading a prompt is bound by arithmetic: two operations a weight and token. What the cores can do is
measured with numpy's float32 matrix product; the model multiplies bytes, of which a core can do up
to four times as many. Writing is bound by memory: every weight is read once a token. What memory
gives is measured by looking for the largest of numbers that no cache holds (Williams, Waterman
and Patterson, "Roofline", CACM 2009). Medians of some rounds; on a machine that does nothing else.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bench.support import INSTALLED
from rag.answers.compose import compose_judgement
from rag.backends.generate import _JUDGE, LlamaGenerator, cores
from rag.commands.opening import load_generator
from rag.config import load

_SIDE = 2048  # of a square matrix: 17 GFLOP a product
_FLOATS = 50_000_000  # 200 MB a vector
_FEW, _MANY = 100, 1100  # code points of a text that is read
_ROUNDS = 9
_TEXT = "The ferry between the two islands was closed for repairs until the end of the winter. "


def seconds(work: Callable[[], Any]) -> float:
    """Median time of some rounds."""
    took = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def arithmetic() -> float:
    """Float32 operations a second of all cores."""
    a = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
    return float(2 * _SIDE**3 / seconds(lambda: a @ a))


def bandwidth() -> float:
    """Bytes a second that all cores together read from memory."""
    vectors = [np.ones(_FLOATS, dtype=np.float32) for _ in range(cores())]
    with ThreadPoolExecutor(cores()) as pool:
        took = seconds(lambda: list(pool.map(np.max, vectors)))
    return sum(v.nbytes for v in vectors) / took


def main() -> None:
    """Print both roofs, and what the model reaches of them."""
    import llama_cpp

    roof, memory = arithmetic(), bandwidth()
    generator = load_generator(load(), INSTALLED)
    if not isinstance(generator, LlamaGenerator):
        raise SystemExit("a language model is wanted: set llm to a GGUF")
    weights = int(llama_cpp.llama_model_n_params(generator._model))
    size = int(llama_cpp.llama_model_size(generator._model))

    def read(characters: int) -> int:
        text = (_TEXT * 20)[:characters]
        made = compose_judgement("Why?", text, "So.", generator=generator)
        generator.judge(made, "yes", "no")
        return len(made.tokens) - len(made.pieces[0])

    few, many = read(_FEW), read(_MANY)
    reading = (many - few) / (seconds(lambda: read(_MANY)) - seconds(lambda: read(_FEW)))
    token = generator.tokenize("yes", special=False)
    writing = 1 / seconds(lambda: generator._decode(token, _JUDGE))
    sys.stdout.write(
        f"cores {cores()}; float32 {roof / 1e9:.0f} GFLOP/s; memory {memory / 1e9:.1f} GB/s\n"
        f"model {weights / 1e9:.2f} G weights, {size / 1e9:.2f} GB\n"
        f"reading {reading:.0f} tokens/s = {2 * weights * reading / 1e9:.0f} GOP/s,"
        f" {2 * weights * reading / roof:.2f} of the float32 roof\n"
        f"writing {writing:.1f} tokens/s = {size * writing / 1e9:.1f} GB/s,"
        f" {size * writing / memory:.2f} of the memory roof\n"
    )


if __name__ == "__main__":
    main()
