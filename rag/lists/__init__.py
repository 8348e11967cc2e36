"""Lists of questions, and the files of their answers: read, written row by row, gone on with."""
