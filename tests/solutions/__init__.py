"""Right and wrong answers to the tutorials' exercises; `text_streams` belongs to `notebooks/text-streams.ipynb`.

Each module has
    SOLUTIONS: the code that solves an exercise, by the exercise's cell id.
    WRONG: wrong answers by the exercise's cell id, each with a part of the check's message.
    OUTPUTS: texts that a cell's output must contain, by the id of any other cell.
"""
