"""Public sets converted to documents plus gold; what they are made of is never shipped."""
