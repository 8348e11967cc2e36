"""The index: one SQLite file is the truth, what FAISS searches is derived from it."""
