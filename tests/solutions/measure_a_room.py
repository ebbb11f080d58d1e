"""Answers to the exercises of measure-a-room.ipynb, and outputs of its other cells."""

IN_TIME = """
def in_time(table, limit):
    return (table["ms"] <= limit).groupby(table["system"]).mean()
"""

METADATA = """
inbox = bob.listen("participant_metadata", sender="alice")
send = alice.local_participant.set_metadata
metadata_ms = [one_way(send, inbox, f"note {time.time_ns()}", patience=10) for _ in range(10)]
inbox.close()
"""

SOLUTIONS = {"exercise-1": IN_TIME, "exercise-2": METADATA}

WRONG = {
    "exercise-1": [
        ("in_time = 0.5", "cannot be called"),
        ("def in_time(table, limit):\n    return None", "return a Series"),
        ("def in_time(table, limit):\n    return table['millis'] < limit", "raised KeyError"),
        ("def in_time(table, limit):\n    return table['ms'] <= limit", "the names of the systems"),
        (IN_TIME.replace("<=", "<"), "50 ms is within 50 ms"),
        (IN_TIME.replace("return", "table = table.dropna()\n    return"), "A lost message has no time"),
        (IN_TIME.replace("mean", "sum"), "between 0 and 1"),
        (IN_TIME.replace("mean()", "sum() / len(table)"), "the mean of these values is a share"),
    ],
    "exercise-2": [
        ("metadata_ms = None", "it must be a list of numbers"),
        ("metadata_ms = [None] * 10", "it must be a list of numbers"),
        ("metadata_ms = [1.5] + [None] * 9", "setting the same text again is not a change"),
        ("metadata_ms = [1.5, 2.5]", "has 2 times"),
        ("metadata_ms = [1.5] * 10_000", "bob received only"),
        (METADATA + "metadata_ms = [each / 1000 for each in metadata_ms]", "in seconds?"),
        (METADATA + "metadata_ms[3] = -1.0", "each must be above 0"),
    ],
}

OUTPUTS = {
    "connect": ["a server on this machine"],
    "call": ["ms round trip"],
    "one": ["ms"],
    "systems": ["21 combinations of kind and size"],
    "measure": ["420 measurements, one per row"],
    "percentiles": ["50%", "95%", "lost", "text stream", "lossy packet", "attribute", "call and answer"],
    "picture": ["SVG"],
    "rate": ["packets/s", "median age", "10000"],
    "close": ["[]"],
}
