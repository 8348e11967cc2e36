"""Everything that can go wrong in a way the user can mend.

    RagError                 1  a bug, if nothing below fits
    ├── UsageError           2  wrong flags, settings or an empty question
    ├── IndexUnusable        3  no index, or one that cannot be used
    ├── InputUnreadable      4  the named input cannot be read
    ├── ModelUnusable        5  a model is missing, or its bytes are wrong
    ├── IndexBusy            6  another process is writing the index
    ├── OutOfResources       7  disk or memory is used up
    └── Interrupted        130  the user stopped it

The number is the exit code. Only ``cli.py`` prints these and exits.
"""

from __future__ import annotations


class RagError(Exception):
    """An error with the one command or setting that mends it.

    Attributes:
        message: What happened, one line, no trailing full stop.
        hint: What the user can do about it.
        exit_code: The process exit code of the contract.
    """

    exit_code = 1
    kind = "bug"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(RagError):
    """Wrong flags, settings, or an empty question."""

    exit_code = 2
    kind = "usage"


class IndexUnusable(RagError):
    """No index, or one that cannot be used with these settings."""

    exit_code = 3
    kind = "index"


class InputUnreadable(RagError):
    """The named documents or question file cannot be read."""

    exit_code = 4
    kind = "input"


class ModelUnusable(RagError):
    """A model is missing, or its bytes are not the pinned ones."""

    exit_code = 5
    kind = "model"


class IndexBusy(RagError):
    """Another process is writing the index."""

    exit_code = 6
    kind = "busy"


class OutOfResources(RagError):
    """Disk or memory is used up."""

    exit_code = 7
    kind = "resources"


class Interrupted(RagError):
    """The user stopped the run."""

    exit_code = 130
    kind = "interrupted"
