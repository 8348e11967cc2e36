"""A question, to the few sentences worth showing the model."""
