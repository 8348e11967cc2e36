"""How good answers are: gold sets, metrics with their intervals, judges, reports."""
