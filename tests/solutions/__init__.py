"""Answers to the tutorials' exercises, right and wrong; `text_streams` is that of `notebooks/text-streams.ipynb`.

Each module has
    SOLUTIONS: by the exercise's cell id the code that solves it.
    WRONG: by the exercise's cell id, answers that do not, each with a part of what its check says of it.
    OUTPUTS: by the id of any other cell, what must be in its output.
"""
