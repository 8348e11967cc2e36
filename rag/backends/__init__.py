"""The two models: where they come from, what stands in for them, how they are run."""
