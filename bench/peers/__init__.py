"""Other systems over the same documents, questions and models, scored by one scorer."""
