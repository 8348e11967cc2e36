"""Whether a claim is what its text says, and what was asked."""
