"""Answers to the exercises of keep-a-room.ipynb, and outputs of its other cells."""

_KEEP = """
def keep(room, path, work):
    with room.record(path):
        work()
    return lknb.open_recording(path)
"""

_FIRST = """
def first_token(run):
    table = run.filter("text", topic="answer", status="ok").to_pandas()
    return table.groupby("sender")["first_after"].median().to_dict()
"""

SOLUTIONS = {"exercise-1": _KEEP, "exercise-2": _FIRST}

WRONG = {
    "exercise-1": [
        ("keep = None", "not a function"),
        ("def keep(room, path):\n    pass", "TypeError"),
        ("def keep(room, path, work):\n    pass", "`work` was called 0 times"),
        (_KEEP.replace("        work()", "        work()\n        work()"), "called 2 times"),
        (_KEEP.replace("        work()", "        pass\n    work()"), "nothing was being recorded"),
        ("def keep(room, path, work):\n    room.record(path)\n    work()", "still being recorded"),
        (
            _KEEP.replace("room.record(path):", "room.record(path) as kept:").replace(
                "lknb.open_recording(path)", "kept"
            ),
            "returned the recorder",
        ),
        (_KEEP.replace("    return lknb.open_recording(path)", ""), "`keep` returned `None`"),
        (_KEEP.replace("return lknb", "    return lknb"), "opened before it was finished"),
        (_KEEP.replace("room.record(path)", "room.record(path, kind='text')"), "Record everything"),
        (_KEEP.replace("room.record(path)", "room.record(path.with_stem('other'))"), "FileNotFoundError"),
        (
            _KEEP.replace("(path)", "(path.with_stem('other'))"),
            "no file at `path`",
        ),
        (
            _KEEP.replace(
                "return lknb.open_recording(path)", "run = lknb.open_recording(path); run.close(); return run"
            ),
            "Return it open",
        ),
        (
            _KEEP.replace(
                "        work()", "        try:\n            work()\n        except Exception:\n            pass"
            ),
            "Do not catch it",
        ),
        (
            _KEEP.replace("with room.record(path):", "kept = room.record(path)").replace(
                "        work()", "    work()\n    kept.stop()"
            ),
            "is still being recorded. `with room.record(path):` stops also then.",
        ),
    ],
    "exercise-2": [
        ("first_token = 3", "not a function"),
        ("def first_token(run):\n    run.filter('txt')", "ValueError"),
        ("def first_token(run):\n    return 0.1", "Return a dict"),
        (_FIRST.replace('"text", topic="answer", ', "'bytes', "), "the keys are `[]`"),
        (_FIRST.replace("median()", "mean()"), "Use the median"),
        (_FIRST.replace("median()", "min()"), "the fastest ones"),
        (_FIRST.replace("median()", "max()"), "the slowest ones"),
        (_FIRST.replace(', status="ok"', ""), "broke off count, too"),
        (_FIRST.replace('topic="answer", ', ""), "Texts on other topics count, too"),
        (_FIRST.replace('"first_after"', '"duration"'), "until the last word"),
        (_FIRST.replace("median()", "median().mul(1000)"), "not milliseconds"),
        (_FIRST.replace("median()", "median().round(0).map(str)"), "instead of"),
        (_FIRST.replace(".to_dict()", ""), "of the type Series"),
    ],
}

OUTPUTS = {
    "connect": ["alice, rover"],
    "record": ["recordings/yard-", "recording"],
    "chat": ["I can drive, turn and take pictures."],
    "turn": ["Turned 30 degrees to the left."],
    "drive": ["80 packets"],
    "photo": ["evening.png: 57,805 bytes"],
    "stop": ["recordings/yard-"],
    "open": ["recorded by   alice", "state         finished", "data drive    80", "rpc turn      1"],
    "events": ["rover: Ouch. I am stuck.", "turn({'degrees': -30}): Turned 30 degrees to the left."],
    "picture": ["<ReceivedFile 'evening.png' 'image/png' 57,805 B from 'rover'>"],
    "state": ["{'mode': 'parked'}", "{'mode': 'stuck'}"],
    "pieces": ["first word after 0.", "all 7 words after ", "pictures."],
    "hidden": ["alice, rover"],
    "left": ["complete: False", "missing of what is older than a second: []"],
    "open-story": ["open\n0 1 2 3 4 5 6 7 8 9 "],
    "close": ["[]"],
}
