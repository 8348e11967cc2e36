"""A chat with a model behind an OpenAI-compatible endpoint: messages in, the text of a reply out.

The key is sent and never shown: not in errors, not where the server repeats it.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from rag.errors import ModelUnusable, UsageError
from rag.records import Message

RETRIES = 3
_AGAIN = frozenset({429, 500, 502, 503, 504})
_LONGEST_WAIT = 60.0  # seconds, whatever the server asks for
_MOST_BYTES = 1_000_000
_SHOWN = 200  # code points of what a server says
_URL_HINT = "name it like --judge http://localhost:8080/v1"
_RESUMES = "run the same command again: it goes on where it stopped"


class NoReply(Exception):
    """The server would not answer this one request; the text says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is reached.

    Attributes:
        url: Up to ``/chat/completions``, without a slash at the end.
        model: What the server is asked for; "" leaves that to the server.
        key: Sent as a bearer token; "" sends none.
        timeout: Seconds that the server may be silent.
        backoff: Seconds before the first retry; each further one waits twice as long.
    """

    url: str
    model: str = ""
    key: str = field(default="", repr=False)
    timeout: float = 60.0
    backoff: float = 1.0


def open_endpoint(url: str, model: str, key: str) -> Endpoint:
    """Check what the user named.

    Raises:
        UsageError: It is no address of an endpoint, it holds a secret, or the key is none.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not (url.isascii() and url.isprintable() and " " not in url):
        raise UsageError("the judge is neither local nor the URL of an endpoint", hint=_URL_HINT)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "the URL of the judge holds more than an address, and it is kept in files",
            hint="a key belongs into the environment variable RAG_JUDGE_KEY",
        )
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            "RAG_JUDGE_KEY holds characters that no key has", hint="set it to the key alone"
        )
    return Endpoint(url.rstrip("/").removesuffix("/chat/completions"), model, key)


def reply(endpoint: Endpoint, messages: list[Message], *, max_tokens: int) -> str:
    """What the model says, at temperature 0.

    Overload and failures of the server (429, 5xx) are tried three times again, each time later.

    Raises:
        NoReply: The server refuses this request alone, or what it sends is no reply.
        ModelUnusable: The server cannot be reached, keeps failing, or does not know key or model.
    """
    asked: dict[str, Any] = {"messages": messages, "temperature": 0, "max_tokens": max_tokens}
    if endpoint.model:
        asked["model"] = endpoint.model
    headers = {"Content-Type": "application/json", "User-Agent": "rag"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    request = urllib.request.Request(
        f"{endpoint.url}/chat/completions", json.dumps(asked).encode(), headers, method="POST"
    )
    for attempt in range(RETRIES + 1):
        status, body, later = _sent(request, endpoint)
        if status not in _AGAIN:
            break
        if attempt < RETRIES:
            time.sleep(min(max(later, endpoint.backoff * 2**attempt), _LONGEST_WAIT))
    if status != 200:
        _refuse(status, body, endpoint)
    return _text(body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key is for the server that the user named, and for no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _sent(request: urllib.request.Request, endpoint: Endpoint) -> tuple[int, bytes, float]:
    """Status, body, and the seconds to wait that the server asks for."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        try:
            answer = opener.open(request, timeout=endpoint.timeout)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status or 0, _read(answer, endpoint.timeout), _later(answer.headers)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        why = f"no answer within {endpoint.timeout:g} s" if isinstance(reason, TimeoutError) else (
            str(reason) or type(reason).__name__)  # fmt: skip
        raise ModelUnusable(
            f"the judge at {endpoint.url} cannot be reached: {_short(why, endpoint)}",
            hint=f"check the URL and that the server runs, then {_RESUMES}",
        ) from None


def _read(answer: Any, seconds: float) -> bytes:
    """A body, up to a bound in bytes and time: a server may drip for ever."""
    until = time.monotonic() + seconds
    body = b""
    while len(body) < _MOST_BYTES and (part := answer.read1(65_536)):
        body += part
        if time.monotonic() > until:
            raise TimeoutError
    return body


def _later(headers: Any) -> float:
    asked = str(headers.get("Retry-After", ""))
    return float(asked) if asked.isascii() and asked.isdigit() else 0.0


def _refuse(status: int, body: bytes, endpoint: Endpoint) -> None:
    where = f"the judge at {endpoint.url}"
    if status in (401, 403):
        raise ModelUnusable(
            f"{where} refuses the key (status {status})" if endpoint.key
            else f"{where} wants a key (status {status})",
            hint="set the environment variable RAG_JUDGE_KEY to a key that is valid there",
        )  # fmt: skip
    said = _short(body.decode("utf-8", "replace"), endpoint)
    if status == 404:
        raise ModelUnusable(
            f"{where} has no such model or address (status 404): {said}",
            hint="check the URL (it mostly ends in /v1) and --judge-model",
        )
    if status in _AGAIN:
        raise ModelUnusable(
            f"{where} keeps failing (status {status}): {said}", hint=f"later, {_RESUMES}"
        )
    if status < 400:
        raise ModelUnusable(
            f"{where} answers with status {status}, perhaps from another address",
            hint="name the address that it leads to",
        )
    raise NoReply(f"status {status}: {said}")


def _short(text: str, endpoint: Endpoint) -> str:
    if endpoint.key:
        text = text.replace(endpoint.key, "…")
    text = " ".join(text[: 4 * _SHOWN].split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"


def _text(body: bytes) -> str:
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise NoReply("what the server sent is no chat completion") from None
    if not isinstance(text, str):
        raise NoReply("the reply holds no text")
    return text
