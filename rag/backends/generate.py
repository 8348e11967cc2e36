"""Token ids to sentences as they close: the decode loop over llama.cpp.

We own the loop because everything the program promises is decided in it: the constant beginning is
read once, untrusted text cannot become control tokens, a sentence is handed over the moment it
closes, and the same question gets the same answer, whatever was asked before.
"""

from __future__ import annotations

import codecs
import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.backends.extractive import EXTRACTIVE, ExtractiveGenerator
from rag.backends.prefixes import load_prefix, prefix_key, save_prefix
from rag.documents.split import sentence_spans
from rag.errors import ModelUnusable, OutOfResources
from rag.records import Generator, Message, Prompt

_READ_TOKENS = 256  # read at a time
_JUDGE_TOKENS = 2048
_ANSWER, _JUDGE = 0, 1  # sequences of the KV cache
# The most tokens of a draft, and how many last tokens must have stood before, tried in this order.
_REPACKED = 3, (3, 2)  # repacked weights are multiplied with four rows at a time
_TILED = 15, (3,)  # others with sixteen, which cost as much as five rows do singly
_ABORTED = 2  # llama_decode's status when the abort callback said so


def open_generator(
    name: str, file: Path, *, context_tokens: int, threads: int, prefixes: Path | None = None
) -> Generator:
    """Open the model in a verified file; ``extractive`` needs none."""
    if name == EXTRACTIVE:
        return ExtractiveGenerator(context_tokens)
    return LlamaGenerator(
        name, file, context_tokens=context_tokens, threads=threads, prefixes=prefixes
    )


class LlamaGenerator:
    """A GGUF model, run greedily on the CPU.

    Args:
        name: What answers are stamped with.
        file: A verified GGUF file.
        context_tokens: The most tokens that prompt and answer may have together.
        threads: 0 means one a core.
        prefixes: Where the constant beginnings of prompts are kept; None keeps none.

    Raises:
        ModelUnusable: llama.cpp cannot load the file, or it has no chat template.
        OutOfResources: There is not enough memory for it.
    """

    def __init__(
        self,
        name: str,
        file: Path,
        *,
        context_tokens: int,
        threads: int = 0,
        prefixes: Path | None = None,
    ) -> None:
        import llama_cpp
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        self.name = name
        self._c: Any = llama_cpp
        logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL)
        llama_cpp.llama_backend_init()
        model_params = llama_cpp.llama_model_default_params()
        features = cpu_features().split()
        # With AVX-512 VNNI a prompt is read in 0.8 of the time where weights are not repacked
        # (docs/experiments.md). And some virtual machines advertise AMX, which the same buffers
        # would use, and kill the process at its first instruction.
        repacked = not {"AMX", "AVX512_VNNI"} & set(features)
        model_params.use_extra_bufts = repacked
        self._drafts = _REPACKED if repacked else _TILED
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), model_params)
        if not self._model:
            raise ModelUnusable(
                f"{file} cannot be loaded by llama.cpp",
                hint="check the file: rag models verify; or name another one with --llm FILE.gguf",
            )
        params = llama_cpp.llama_context_default_params()
        self.context_tokens = min(
            context_tokens, int(llama_cpp.llama_model_n_ctx_train(self._model))
        )
        # Two prompts lie side by side: the one that is answered, and the one that is judged. Each
        # has cells of its own, as many as the longer: what is in the one leaves the other as it is.
        params.n_ctx = 2 * max(self.context_tokens, _JUDGE_TOKENS)
        params.n_seq_max = 2
        params.kv_unified = False
        params.n_batch = params.n_ubatch = _READ_TOKENS
        params.n_threads = params.n_threads_batch = threads or cores()
        params.no_perf = True
        self._ctx = llama_cpp.llama_init_from_model(self._model, params)
        if not self._ctx:
            raise OutOfResources(
                f"not enough memory for {file.name} with {context_tokens} tokens of context",
                hint="set a smaller context_tokens, or a smaller llm",
            )
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._vocab_size = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        template = llama_cpp.llama_model_chat_template(self._model, None)
        if not template:
            raise ModelUnusable(
                f"{file} has no chat template", hint="name an instruction-tuned GGUF"
            )
        self._formatter = Jinja2ChatFormatter(template.decode(), eos_token="", bos_token="")
        bos = bool(llama_cpp.llama_vocab_get_add_bos(self._vocab))
        self._bos = [int(llama_cpp.llama_vocab_bos(self._vocab))] if bos else []
        self._stopped = False
        # Kept as an attribute: C holds a pointer to it.
        self._abort = llama_cpp.ggml_abort_callback(lambda _: self._stopped)
        llama_cpp.llama_set_abort_callback(self._ctx, self._abort, None)
        self._file, self._prefixes = file, prefixes
        self._runtime = f"{llama_cpp.__version__} {' '.join(features)} repacked={repacked}"
        self._held: tuple[list[int], list[int]] = ([], [])  # what each sequence holds, in order
        self._constant = [0, 0]  # tokens that every prompt in a sequence begins with
        self._batch = llama_cpp.llama_batch_init(_READ_TOKENS, 0, 1)
        self.written = 0
        self.first_token_at = 0.0
        self.log_probs: list[float] = []

    def close(self) -> None:
        """Free the native memory."""
        if self._ctx:
            self._c.llama_batch_free(self._batch)
            self._c.llama_free(self._ctx)
            self._c.llama_model_free(self._model)
            self._ctx = self._model = None

    def chat(self, messages: list[Message]) -> str:
        """The model's own chat template around some messages, ready for an answer."""
        formatter: Any = self._formatter
        return str(formatter(messages=messages).prompt)

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids; with ``special`` off no control token can come of any text."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (self._c.llama_token * room)()
        count = self._c.llama_tokenize(self._vocab, data, len(data), buffer, room, False, special)
        if count < 0:
            raise ValueError(f"tokenizer wants {-count} tokens for {len(data)} bytes")
        return list(buffer[:count])

    def read(self, prompt: Prompt) -> int:
        """Read a prompt, reusing its constant beginning where that is in the cache.

        Raises:
            ValueError: The prompt does not fit the context; composing it is at fault.
        """
        known = self._extend(_ANSWER, prompt, most=self.context_tokens - 1)
        self.written, self.first_token_at, self.log_probs = 0, 0.0, []
        return known

    def _extend(self, sequence: int, prompt: Prompt, *, most: int) -> int:
        """Make a sequence hold a prompt; returns how many of its tokens were known already.

        Raises:
            ValueError: It has more than ``most`` tokens.
        """
        tokens = self._bos + prompt.tokens
        if len(tokens) > most:
            raise ValueError(f"a prompt of {len(tokens)} tokens in {most}")
        constant = self._constant[sequence] = len(self._bos) + len(prompt.pieces[0])
        known = self._held[sequence][:constant] == tokens[:constant]
        if not known:
            known = self._recall(sequence, tokens[:constant])
        # More may be the same, but logits differ in the last digits with where a batch begins:
        # what was asked before must not decide between two words that are as likely.
        self._cut(sequence, constant)
        self._decode(tokens[constant:], sequence)
        return constant if known else 0

    def _recall(self, sequence: int, tokens: list[int]) -> bool:
        """Make a sequence hold a constant beginning: from disk, else read, and kept.

        Returns:
            Whether it was on disk.
        """
        c = self._c
        self._cut(sequence, 0)
        if not self._prefixes:
            self._decode(tokens, sequence)
            return False
        key = prefix_key(self._file, tokens, runtime=self._runtime)
        known = load_prefix(self._prefixes, key)
        if known:
            buffer = (ctypes.c_uint8 * len(known)).from_buffer_copy(known)
            if c.llama_state_seq_set_data(self._ctx, buffer, len(known), sequence):
                self._held[sequence].extend(tokens)
                return True
            self._cut(sequence, 0)
        self._decode(tokens, sequence)
        size = int(c.llama_state_seq_get_size(self._ctx, sequence))
        copied = (ctypes.c_uint8 * size)()
        if c.llama_state_seq_get_data(self._ctx, copied, size, sequence) == size:
            save_prefix(self._prefixes, key, bytes(copied))
        return False

    def judge(self, prompt: Prompt, yes: str, no: str) -> float:
        """The log odds for a prompt beside the one that was read, which stays as it is."""
        self._extend(_JUDGE, prompt, most=_JUDGE_TOKENS)
        return self.log_odds(yes, no)

    def complete(self, prompt: Prompt, *, max_tokens: int, without: Collection[str] = ()) -> str:
        """One line, written greedily after a prompt beside the one that was read."""
        self._extend(_JUDGE, prompt, most=_JUDGE_TOKENS - max_tokens)
        spelled = [f(w) for w in without for f in (str, str.capitalize, " {}".format)]
        banned = [ids[0] for s in spelled if len(ids := self.tokenize(s, special=False)) == 1]
        written = b""
        for _ in range(max_tokens):
            logits = self._logits()
            logits[banned] = -np.inf
            token = int(np.argmax(logits))
            if self._c.llama_vocab_is_eog(self._vocab, token) or b"\n" in written.lstrip():
                return written.decode("utf-8", "replace").rstrip()
            written += self._piece(token)
            self._decode([token], _JUDGE)
        return ""

    def copy(self, prompt: Prompt, text: str) -> str:
        """The beginning of a text that it copies after a prompt beside the one that was read.

        All of the text is read at once; the copy ends where the model finds an end likelier than
        what comes next, at the end of a word.
        """
        ids = self.tokenize(text, special=False)[:_READ_TOKENS]
        self._extend(_JUDGE, prompt, most=_JUDGE_TOKENS - len(ids))
        ends = [self._c.llama_vocab_eot(self._vocab), self._c.llama_vocab_eos(self._vocab)]
        self._decode(ids, _JUDGE, all_logits=True)
        copied = b""
        for at, token in enumerate(ids):
            copied += self._piece(token)
            following = self._piece(ids[at + 1]) if at + 1 < len(ids) else b" "
            if following[:1].isalnum() or following[:1] > b"\x7f":
                continue  # in the midst of a word
            logits = self._logits(at)
            if at + 1 == len(ids) or max(logits[ends]) > logits[ids[at + 1]]:
                break
        return copied.decode("utf-8", "replace")

    def log_odds(self, yes: str, no: str) -> float:
        """``logit(first token of yes) - logit(first token of no)`` at this point."""
        logits = self._logits()
        first = [self.tokenize(word, special=False)[0] for word in (yes, no)]
        return float(logits[first[0]] - logits[first[1]])

    def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
        """Write greedily after ``opening``; each sentence is yielded as it closes."""
        if opening:
            self._decode(self.tokenize(opening, special=False), _ANSWER)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pending, given = "", 0
        room = min(max_tokens, self.context_tokens - len(self._held[_ANSWER]) - 1)
        for token in self._greedy(room):
            self.written += 1
            self.first_token_at = self.first_token_at or time.perf_counter()
            if self._c.llama_vocab_is_eog(self._vocab, token):
                break
            pending += decoder.decode(self._piece(token))
            closed, pending = _closed(pending)
            for sentence in closed:
                yield sentence
                given += 1
                if given == limit:
                    return
            if pending.endswith("\n") and not pending.strip():
                break
        else:
            return  # cut off in mid-sentence: what is pending never closed
        if pending.strip() and given < limit:
            yield pending.strip()

    def _greedy(self, limit: int) -> Iterator[int]:
        """At most so many tokens, each the likeliest; decoded when the next one is asked for.

        An answer often goes on as its sources do. So what followed the last words where they stood
        before is read along with each token, and what the model would have written itself is kept:
        several cost less together than singly, and no token differs but where two are as likely to
        the last digits, in which batches differ (prompt lookup decoding, Saxena 2023;
        https://github.com/apoorvumang/prompt-lookup-decoding).
        """
        held, (most, grams) = self._held[_ANSWER], self._drafts
        following = [self._likeliest(-1)]
        while True:
            # Whoever takes a token may decode something else: no output is looked at after that.
            for token, log_prob in following:
                self.log_probs.append(log_prob)
                limit -= 1
                yield token
                if not limit:
                    return
            token = following[-1][0]
            draft = lookup([*held, token], self._constant[_ANSWER], min(most, limit - 1), grams)
            known = len(held) + 1
            self._decode([token, *draft], _ANSWER, all_logits=True)
            following = []
            for at, guess in enumerate([*draft, None]):
                following.append(self._likeliest(at))
                if following[-1][0] != guess:
                    self._cut(_ANSWER, known + at)
                    break

    def _likeliest(self, at: int) -> tuple[int, float]:
        """The greedy token at an output of the last decode, and its log probability."""
        logits = self._logits(at)
        token = int(np.argmax(logits))
        # log(1 / sum(exp(logits - max)))
        return token, -float(np.log(np.exp(logits - logits[token]).sum()))

    # -- llama.cpp ------------------------------------------------------------------------------

    def _logits(self, at: int = -1) -> npt.NDArray[np.float32]:
        """One output of the last decode: a view of float32 (vocabulary,), valid until the next."""
        pointer = self._c.llama_get_logits_ith(self._ctx, at)
        return np.ctypeslib.as_array(pointer, shape=(self._vocab_size,))

    def _decode(self, tokens: list[int], sequence: int, *, all_logits: bool = False) -> None:
        held = self._held[sequence]
        for at in range(0, len(tokens), _READ_TOKENS):
            part = tokens[at : at + _READ_TOKENS]
            batch = self._batch
            batch.n_tokens = len(part)
            for n, token in enumerate(part):
                batch.token[n] = token
                batch.pos[n] = len(held) + n
                batch.n_seq_id[n] = 1
                batch.seq_id[n][0] = sequence
                batch.logits[n] = all_logits or n == len(part) - 1
            with self._interruptible():
                status = self._c.llama_decode(self._ctx, batch)
            if self._stopped or status == _ABORTED:
                self._cut(sequence, 0)
                raise KeyboardInterrupt
            if status:
                self._cut(sequence, 0)
                raise OutOfResources(
                    f"llama.cpp could not read {len(part)} tokens (status {status})",
                    hint="set a larger context_tokens, or free some memory",
                )
            held += part

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let Ctrl-C stop a decode in the middle: Python alone would wait for C to return."""
        self._stopped = False
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(*_: object) -> None:
            self._stopped = True

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before or signal.SIG_DFL)

    def _cut(self, sequence: int, length: int) -> None:
        """Keep the first tokens of a sequence and forget the rest."""
        self._c.llama_memory_seq_rm(self._memory, sequence, length, -1)
        del self._held[sequence][length:]

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = self._c.llama_token_to_piece(self._vocab, token, buffer, 256, 0, False)
        return buffer.raw[: max(count, 0)]


def lookup(tokens: list[int], start: int, most: int, grams: tuple[int, ...]) -> list[int]:
    """What followed where the last tokens stood before, nothing before ``start`` looked at."""
    for size in grams:
        last = tokens[-size:]
        for at in range(len(tokens) - size - 1, start - 1, -1):
            if tokens[at : at + size] == last:
                return tokens[at + size : at + size + most]
    return []


def cores() -> int:
    """How many processors this process may use; of all where the system does not say which."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_features() -> str:
    """The CPU features that llama.cpp was compiled with, by name."""
    import llama_cpp

    info = llama_cpp.llama_print_system_info().decode()
    return " ".join(part.split("=")[0].strip() for part in info.split("|") if "= 1" in part)


def _closed(text: str) -> tuple[list[str], str]:
    """Sentences of a growing text that are certainly over, and the rest.

    A sentence is over when another one has begun behind it or at the end of a line.
    """
    line, newline, rest = text.lstrip().partition("\n")
    if newline:
        spans = sentence_spans(line)
        return [line[a:b] for a, b in spans], rest or "\n"
    spans = sentence_spans(line)
    if len(spans) < 2:
        return [], text
    last = spans[-1][0]
    # One letter may still grow into an abbreviation or a number; two cannot un-end what is before.
    if len(line) - last < 2:
        return [], text
    return [line[a:b] for a, b in spans[:-1]], line[last:]
