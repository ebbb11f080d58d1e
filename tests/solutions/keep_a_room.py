"""Answers to the exercises of keep-a-room.ipynb, and outputs of its other cells."""

_KEEP = """
def keep(room, path, work):
    with room.record(path):
        work()
    return lknb.open_recording(path)
"""

_FIRST = """
def first_token(run):
    table = run.sql(\"\"\"
        select sender, median(first_after) as seconds
        from events
        where kind = 'text' and topic = 'answer' and status = 'ok'
        group by sender
    \"\"\")
    return dict(zip(table["sender"], table["seconds"]))
"""

_TRY = """
import time


def try_out(run, install):
    with (
        lknb.connect(f"{yard}-try", identity="tester") as tester,
        lknb.connect(f"{yard}-try", identity="player") as player,
    ):
        found = install(tester)
        replay = run.replay(player, speed=10, topic="drive").wait(timeout=60)
        end = time.monotonic() + 10
        while len(found) < replay.sent and time.monotonic() < end:
            time.sleep(0.01)
        return found
"""

SOLUTIONS = {"exercise-1": _KEEP, "exercise-2": _FIRST, "exercise-3": _TRY}

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
        (_FIRST.replace("'text'", "'bytes'"), "the keys are `[]`"),
        (_FIRST.replace("median(", "mean("), "Use the median"),
        (_FIRST.replace("median(", "min("), "the fastest ones"),
        (_FIRST.replace("median(", "max("), "the slowest ones"),
        (_FIRST.replace(" and status = 'ok'", ""), "broke off count, too"),
        (_FIRST.replace(" and topic = 'answer'", ""), "Texts on other topics count, too"),
        (_FIRST.replace("first_after", "duration"), "until the last word"),
        (_FIRST.replace("(first_after)", "(1000 * first_after)"), "not milliseconds"),
        (_FIRST.replace("(first_after)", "(round(first_after))"), "instead of"),
        (_FIRST.replace('dict(zip(table["sender"], table["seconds"]))', "table"), "of the type DataFrame"),
    ],
    "exercise-3": [
        ("try_out = 3", "not a function"),
        ("def try_out(run, install):\n    return []", "`install` was not called"),
        ("def try_out(run, install):\n    return install()", "TypeError"),
        ("def try_out(run, install):\n    return install(tester)", "in a room that was open before"),
        (_TRY.replace("install(tester)", "install(tester); install(tester)"), "`install` was called 2 times"),
        (
            _TRY.replace("run.replay(player", "run.replay(tester").replace("len(found) < replay.sent", "False"),
            "nobody receives what it sends itself",
        ),
        (
            _TRY.replace(".wait(timeout=60)", "").replace("len(found) < replay.sent", "False"),
            "Wait for the end of the replay",
        ),
        (_TRY.replace('"drive")', '"drive", start=1)'), "packets before its room was closed"),
        (_TRY.replace("return found", "return [1]"), "`try_out` returned `[1]` instead of"),
        (_TRY.replace("speed=10, ", "speed=3, "), "Use `speed=10`"),
        (_TRY.replace("speed=10, ", "speed=None, "), "Use `speed=10`"),
        (
            "def try_out(run, install):\n"
            "    receiver = lknb.connect(f'{yard}-open', identity='tester')\n"
            "    player = lknb.connect(f'{yard}-open', identity='player')\n"
            "    found = install(receiver)\n"
            "    run.replay(player, speed=10).wait(timeout=60)\n"
            "    return found",
            "is still in its room",
        ),
    ],
}

OUTPUTS = {
    "connect": ["alice, rover"],
    "record": ["recordings/yard-", "recording"],
    "chat": ["I can drive, turn and take pictures."],
    "turn": ["Turned 30 degrees to the left."],
    "drive": ["40 packets"],
    "photo": ["evening.png: 57,805 bytes"],
    "stop": ["recordings/yard-"],
    "open": ["recorded by   alice", "state         finished", "data drive    40", "rpc turn      1"],
    "events": ["rover: Ouch. I am stuck.", "turn({'degrees': -30}): Turned 30 degrees to the left."],
    "picture": ["<ReceivedFile 'evening.png' 'image/png' 57,805 B from 'rover'>"],
    "timeline": ["alice in yard-", "events recorded"],
    "state": ["{'mode': 'parked'}\n{'mode': 'driving'}\n{'mode': 'stuck'}"],
    "pieces": ["first word after 0.", "all 7 words after ", "pictures."],
    "sql": ["photos", "57805", "lk.chat"],
    "sensor": ["0.75  4.", "1.50 -4."],
    "join": ["nothing", "Ouch. I am stuck."],
    "export": ["bytes.parquet", "data-drive.parquet", "evening.png"],
    "hidden": ["alice, rover"],
    "crash": ["alice is connected and has sent 24 packets"],
    "left": ["complete: False", "missing of what is older than a second: []"],
    "open-story": ["open\n0 1 2 3 4 5 6 7 8 9 "],
    "dry-run": ["4 would be sent, 1 skipped."],
    "handler": ["['bump after 0.75 s']"],
    "missed": ["(True, False)"],
    "fix": ["['bump after 0.75 s', 'bump after 1.5 s']", "sent      40"],
    "cast": ["rover: {'mode': 'driving'}", "rover: Ouch. I am stuck.", "in the room: alice guest rover"],
    "close": ["[]"],
}
