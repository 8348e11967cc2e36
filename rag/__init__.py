"""Answers from your own documents, each sentence checked against the text it cites."""

__version__ = "0.1.0"
