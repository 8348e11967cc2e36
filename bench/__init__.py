"""Benchmarks: run by name, never by the test suite."""
