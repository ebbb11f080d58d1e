"""Answers to the exercises of byte-streams.ipynb, and outputs of its other cells."""

SOLUTIONS = {
    "exercise-1": """
@bob.on_bytes("album")
def collect(data, sender):
    answer = data.save(album).name if data.image_type else "no picture"
    bob.send_text(answer, topic="album", to=sender)
""",
    "exercise-2": """
@bob.on_bytes("numbers")
def add_up(data, sender):
    table = pd.read_csv(data.open())
    bob.send_text(str(table["value"].sum()), topic="numbers", to=sender)
""",
    "exercise-3": """
@bob.on_bytes("parcels", stream=True)
def unpack(data, sender, event):
    arrived, half_sent = 0, False
    for chunk in data:
        arrived += len(chunk)
        if not half_sent and arrived >= event.size / 2:
            half_sent = True
            bob.send_text("half", topic="parcels", to=sender)
    bob.send_text("all", topic="parcels", to=sender)
""",
}

WRONG = {
    "exercise-1": [
        ("None", "bob has no handler for it"),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    answer = data.save(album).name if data.name.endswith(".png") else "no picture"\n'
            '    bob.send_text(answer, topic="album", to=sender)',
            "are only claims",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            "    name = data.save(album).name\n"
            '    bob.send_text(name if data.image_type else "no picture", topic="album", to=sender)',
            "but saved it anyway",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    answer = data.save(album).name if data.image_type else "no picture"\n'
            "    bob.send_text(answer, to=sender)",
            "its topic is `'lk.chat'`",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    answer = "no picture"\n'
            "    if data.image_type:\n"
            "        answer = data.name\n"
            "        album.mkdir(exist_ok=True)\n"
            "        Path(album, answer).write_bytes(data.data)\n"
            '    bob.send_text(answer, topic="album", to=sender)',
            "one picture has overwritten the other",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    answer = str(data.save(album)) if data.image_type else "no picture"\n'
            '    bob.send_text(answer, topic="album", to=sender)',
            "Send only the name",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    answer = data.name if data.image_type and data.save(album) else "no picture"\n'
            '    bob.send_text(answer, topic="album", to=sender)',
            "but saved that picture as",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    answer = data.save(folder.name).name if data.image_type else "no picture"\n'
            '    bob.send_text(answer + " (9)", topic="album", to=sender)\n',
            "instead of `'no picture'`",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    answer = "saved-" + data.save(folder.name).name if data.image_type else "no picture"\n'
            '    bob.send_text(answer, topic="album", to=sender)\n',
            "`album` has no such file",
        ),
    ],
    "exercise-2": [
        (
            '@bob.on_bytes("numbers")\ndef add_up(data, sender):\n    pd.read_csv(data.name)',
            "The handler raised",
        ),
        (
            '@bob.on_bytes("numbers")\ndef add_up(data, sender):\n'
            "    table = pd.read_csv(data.open())\n"
            '    bob.send_text(str(table["value"]), topic="numbers", to=sender)',
            "which is not a number",
        ),
        (
            '@bob.on_bytes("numbers")\ndef add_up(data, sender):\n'
            "    table = pd.read_csv(data.open())\n"
            '    bob.send_text(str(table.iloc[:, 0].sum()), topic="numbers", to=sender)',
            "in any position",
        ),
        (
            '@bob.on_bytes("numbers")\ndef add_up(data, sender):\n    bob.send_text("42", topic="numbers", to=sender)',
            "was answered with `'42'`",
        ),
    ],
    "exercise-3": [
        (
            '@bob.on_bytes("parcels")\ndef unpack(data, sender, event):\n'
            '    bob.send_text("half", topic="parcels", to=sender)\n'
            '    bob.send_text("all", topic="parcels", to=sender)',
            "With `stream=True`, a handler is called when the stream begins",
        ),
        (
            '@bob.on_bytes("parcels", stream=True)\ndef unpack(data, sender, event):\n'
            "    for chunk in data:\n"
            "        if event.transferred == event.size / 2:\n"
            '            bob.send_text("half", topic="parcels", to=sender)\n'
            '    bob.send_text("all", topic="parcels", to=sender)',
            "compare with `>=`",
        ),
        (
            '@bob.on_bytes("parcels")\ndef unpack(data, sender, event):\n    list(data.chunks)',
            "The handler raised",
        ),
        (
            '@bob.on_bytes("parcels", stream=True)\ndef unpack(data, sender, event):\n'
            "    for number, chunk in enumerate(data):\n"
            "        if number == 0:\n"
            '            bob.send_text("half", topic="parcels", to=sender)\n'
            '    bob.send_text("all", topic="parcels", to=sender)',
            "400 of 1,000 bytes had arrived",
        ),
        (
            '@bob.on_bytes("parcels", stream=True)\ndef unpack(data, sender, event):\n'
            "    arrived = 0\n"
            "    for chunk in data:\n"
            "        arrived += len(chunk)\n"
            "        if arrived >= event.size / 2:\n"
            '            bob.send_text("half", topic="parcels", to=sender)\n'
            '    bob.send_text("all", topic="parcels", to=sender)',
            "Send it only once",
        ),
        (
            '@bob.on_bytes("parcels", stream=True)\ndef unpack(data, sender, event):\n'
            "    for chunk in data:\n"
            "        if event.transferred == 600:\n"
            '            bob.send_text("half", topic="parcels", to=sender)',
            "but at the end bob sent nothing",
        ),
    ],
}

OUTPUTS = {
    "connect": ["2 participants", "'bob' (you)", "'alice'"],
    "receive-image": ["ReceivedFile 'evening.png' 'image/png'"],
    "what": ["'verified': True", "'sender': 'alice'"],
    "send-python": ["('hills.png', {'taken': 'at dusk'}, True)"],
    "receive-table": ["harbour", "14.0"],
    "handled": ["evening.csv: 2 rows, ['station', 'hour', 'degrees']"],
    "progress": ["ReceivedFile 'noise.bin'", "6,000,000 B"],
    "live": ["25% 50% 75% 100%"],
    "broken": ["alice sees: the disk is gone", "bob sees:   failed", "bob has:    None"],
    "short": ["15,000 of the 40,000 announced bytes", "'failed'"],
    "cancel": ["alice sees: This stream was cancelled here", "the sender cancelled it"],
    "enough": ["10,000 bytes are enough for me.", "alice's side: ok", "bob's side:   cancelled here"],
    "limit": ["over the limit of 1.0 kB"],
    "save": ["is saved as profile", "is saved as photo (1).png"],
    "log": ["film.bin", "cancelled here"],
    "close": ["[]"],
}
