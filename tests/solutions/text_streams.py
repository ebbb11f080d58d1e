"""Answers to the exercises of text-streams.ipynb, and outputs of its other cells."""

SOLUTIONS = {
    "exercise-1": """
@bob.on_text("shout")
def shout(data, sender, event):
    bob.send_text(data.upper(), topic="shout", to=sender, reply_to=event)
""",
    "exercise-2": """
@bob.on_text("essay", stream=True)
def read_essay(data, sender):
    bob.send_text("reading", topic="essay", to=sender)
    length = sum(len(piece) for piece in data)
    bob.send_text(str(length), topic="essay", to=sender)
""",
    "exercise-3": """
notes = []


@bob.on_text("dictation", stream=True)
def write_down(data):
    pieces = []
    try:
        for piece in data:
            pieces.append(piece)
    except lknb.StreamError:
        pieces.append(" [broken off]")
    notes.append("".join(pieces))
""",
}

WRONG = {
    "exercise-1": [
        ("None", "bob has no handler for it"),
        (
            '@bob.on_text("shout")\ndef shout(data, sender, event):\n    return data.upper()',
            "Its return value is ignored",
        ),
        (
            '@bob.on_text("shout")\ndef shout(data, sender):\n    bob.send_text(data.uper(), topic="shout", to=sender)',
            "The handler raised",
        ),
        (
            '@bob.on_text("shout")\ndef shout(data, sender):\n    bob.send_text(data, topic="shout", to=sender)',
            "instead of `'GOOD EVENING'`",
        ),
        (
            '@bob.on_text("shout")\ndef shout(data, sender, event):\n'
            "    bob.send_text(data.upper(), to=sender, reply_to=event)",
            "its topic is `'lk.chat'`",
        ),
        (
            '@bob.on_text("shout")\ndef shout(data, sender):\n'
            '    bob.send_text(data.upper(), topic="shout", to=sender)',
            "it is not a reply",
        ),
        (
            '@bob.on_text("shout")\ndef shout(data, sender, event):\n'
            '    bob.send_text(data.upper(), topic="shout", reply_to=event)',
            "everybody in the room got the answer",
        ),
        (
            '@bob.on_text("shout")\ndef shout(data, sender, event):\n'
            '    bob.send_text("GOOD EVENING", topic="shout", to=sender, reply_to=event)',
            "bob answered `'Mind the gap'` with `'GOOD EVENING'`",
        ),
    ],
    "exercise-2": [
        (
            '@bob.on_text("essay")\ndef read_essay(data, sender):\n'
            '    bob.send_text("reading", topic="essay", to=sender)\n'
            '    bob.send_text(str(len(data)), topic="essay", to=sender)',
            "With `stream=True`, a handler is called when the stream begins",
        ),
        (
            '@bob.on_text("essay", stream=True)\ndef read_essay(data, sender):\n'
            '    length = len("".join(data))\n'
            '    bob.send_text("reading", topic="essay", to=sender)\n'
            '    bob.send_text(str(length), topic="essay", to=sender)',
            "before the loop over the pieces",
        ),
        (
            '@bob.on_text("essay", stream=True)\ndef read_essay(data, sender):\n'
            '    bob.send_text("reading", topic="essay", to=sender)\n'
            '    bob.send_text(str(len(list(data))), topic="essay", to=sender)',
            "That is the number of pieces",
        ),
        (
            '@bob.on_text("essay", stream=True)\ndef read_essay(data, sender):\n'
            '    bob.send_text("reading", topic="essay", to=sender)\n'
            '    bob.send_text(str(len("".join(data).encode())), topic="essay", to=sender)',
            "That is the number of bytes",
        ),
        (
            '@bob.on_text("essay", stream=True)\ndef read_essay(data, sender):\n'
            "    for piece in data:\n"
            '        bob.send_text("reading", topic="essay", to=sender)',
            "Send it only once",
        ),
        (
            '@bob.on_text("essay", stream=True)\ndef read_essay(data, sender):\n'
            '    bob.send_text("reading", topic="essay", to=sender)\n'
            '    bob.send_text(len("".join(data)), topic="essay", to=sender)',
            "The handler raised",
        ),
        (
            '@bob.on_text("essay", stream=True)\ndef read_essay(data, sender):\n'
            '    bob.send_text("reading", topic="essay")\n'
            '    bob.send_text(str(len("".join(data))), topic="essay")',
            "everybody in the room got the answers",
        ),
    ],
    "exercise-3": [
        ("notes = None", "`notes` is `None`; it must be a list"),
        (
            'notes = []\n\n\n@bob.on_text("dictation", stream=True)\ndef write_down(data):\n    return "".join(data)',
            "append the text to `notes`",
        ),
        (
            'notes = []\n\n\n@bob.on_text("dictation", stream=True)\ndef write_down(data):\n'
            "    for piece in data:\n        notes.append(piece)",
            "the entry is `'one '`",
        ),
        (
            'notes = []\n\n\n@bob.on_text("dictation")\ndef write_down(data):\n    notes.append(data)',
            "the one that broke off is not",
        ),
        (
            'notes = []\n\n\n@bob.on_text("dictation", stream=True)\ndef write_down(data):\n'
            '    try:\n        notes.append("".join(data))\n'
            '    except lknb.StreamError:\n        notes.append(" [broken off]")',
            "the entry is `' [broken off]'`",
        ),
        (
            'notes = []\n\n\n@bob.on_text("dictation", stream=True)\ndef write_down(data):\n'
            "    pieces = []\n    for piece in data:\n        pieces.append(piece)\n"
            '    notes.append("".join(pieces))',
            "catch it, and keep the pieces",
        ),
    ],
}

OUTPUTS = {
    "connect": ["2 participants", "'bob' (you)", "'alice'"],
    "say": ["Event text out topic='lk.chat'"],
    "hear": ["alice wrote: Hello bob! What is a tokn?", "True"],
    "edit": ["What is a token?", "True"],
    "reply": ["True"],
    "who-got-what": ["bob:   surprise\nbob:   plans\ncarol: plans"],
    "misspelled": ["'karol' is not in", "['bob', 'carol']"],
    "ask": ["5 words"],
    "handler-python": ["desserts"],
    "story-read": ["A| stream| is| read"],
    "generate": ["[open] A room is where", "you see appear. [ok]"],
    "writer": ["3 ... |2 ... |1 ... |go!"],
    "broken": ["alice sees: out of memory", "bob sees:   failed", "'The answer to everything is '"],
    "broken-handler": ["I got 2 pieces, then the stream broke off."],
    "log": ["failed", "broken"],
    "close": ["[]"],
}
