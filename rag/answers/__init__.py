"""Between evidence and answer: the parts of a question, prompts, claims, citations."""
