"""Answers to the exercises of byte-streams.ipynb."""

SOLUTIONS = {
    "exercise-1": """
@bob.on_bytes("album")
def collect(data, sender):
    said = data.save(album).name if data.image_type else "no picture"
    bob.send_text(said, topic="album", to=sender)
""",
    "exercise-2": """
@bob.on_bytes("numbers")
def add_up(data, sender):
    table = pd.read_csv(io.BytesIO(data.data))
    bob.send_text(str(table["value"].sum()), topic="numbers", to=sender)
""",
    "exercise-3": """
@bob.on_bytes("parcels", stream=True)
def unpack(data, sender, event):
    arrived, said = 0, False
    for chunk in data:
        arrived += len(chunk)
        if not said and arrived >= event.size / 2:
            said = True
            bob.send_text("half", topic="parcels", to=sender)
    bob.send_text("all", topic="parcels", to=sender)
""",
}

WRONG = {
    "exercise-1": [
        ("None", "bob has no handler for it"),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    said = data.save(album).name if data.name.endswith(".png") else "no picture"\n'
            '    bob.send_text(said, topic="album", to=sender)',
            "are only claims",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            "    name = data.save(album).name\n"
            '    bob.send_text(name if data.image_type else "no picture", topic="album", to=sender)',
            "and saved it all the same",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    said = data.save(album).name if data.image_type else "no picture"\n'
            "    bob.send_text(said, to=sender)",
            "its topic is `'lk.chat'`",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    said = "no picture"\n'
            "    if data.image_type:\n"
            "        said = data.name\n"
            "        album.mkdir(exist_ok=True)\n"
            "        Path(album, said).write_bytes(data.data)\n"
            '    bob.send_text(said, topic="album", to=sender)',
            "one has overwritten the other",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    said = str(data.save(album)) if data.image_type else "no picture"\n'
            '    bob.send_text(said, topic="album", to=sender)',
            "only the name was asked for",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    said = data.name if data.image_type and data.save(album) else "no picture"\n'
            '    bob.send_text(said, topic="album", to=sender)',
            "but saved that picture as",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    said = data.save(folder.name).name if data.image_type else "no picture"\n'
            '    bob.send_text(said + " (9)", topic="album", to=sender)\n',
            "and not `'no picture'`",
        ),
        (
            '@bob.on_bytes("album")\ndef collect(data, sender):\n'
            '    said = "saved-" + data.save(folder.name).name if data.image_type else "no picture"\n'
            '    bob.send_text(said, topic="album", to=sender)\n',
            "no such file is in `album`",
        ),
    ],
    "exercise-2": [
        (
            '@bob.on_bytes("numbers")\ndef add_up(data, sender):\n    pd.read_csv(data)',
            "The handler raised",
        ),
        (
            '@bob.on_bytes("numbers")\ndef add_up(data, sender):\n'
            "    table = pd.read_csv(io.BytesIO(data.data))\n"
            '    bob.send_text(str(table["value"]), topic="numbers", to=sender)',
            "which is no number",
        ),
        (
            '@bob.on_bytes("numbers")\ndef add_up(data, sender):\n'
            "    table = pd.read_csv(io.BytesIO(data.data))\n"
            '    bob.send_text(str(table.iloc[:, 0].sum()), topic="numbers", to=sender)',
            "wherever it stands",
        ),
        (
            '@bob.on_bytes("numbers")\ndef add_up(data, sender):\n    bob.send_text("42", topic="numbers", to=sender)',
            "came `'42'`",
        ),
    ],
    "exercise-3": [
        (
            '@bob.on_bytes("parcels")\ndef unpack(data, sender, event):\n'
            '    bob.send_text("half", topic="parcels", to=sender)\n'
            '    bob.send_text("all", topic="parcels", to=sender)',
            "With `stream=True` a handler is called at the beginning",
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
            '@bob.on_bytes("parcels")\ndef unpack(data, sender, event):\n    list(data)',
            "The handler raised",
        ),
        (
            '@bob.on_bytes("parcels", stream=True)\ndef unpack(data, sender, event):\n'
            "    for number, chunk in enumerate(data):\n"
            "        if number == 0:\n"
            '            bob.send_text("half", topic="parcels", to=sender)\n'
            '    bob.send_text("all", topic="parcels", to=sender)',
            "400 of 1,000 bytes were there",
        ),
        (
            '@bob.on_bytes("parcels", stream=True)\ndef unpack(data, sender, event):\n'
            "    arrived = 0\n"
            "    for chunk in data:\n"
            "        arrived += len(chunk)\n"
            "        if arrived >= event.size / 2:\n"
            '            bob.send_text("half", topic="parcels", to=sender)\n'
            '    bob.send_text("all", topic="parcels", to=sender)',
            "Say it once",
        ),
        (
            '@bob.on_bytes("parcels", stream=True)\ndef unpack(data, sender, event):\n'
            "    for chunk in data:\n"
            "        if event.transferred == 600:\n"
            '            bob.send_text("half", topic="parcels", to=sender)',
            "but at the end nothing",
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
    "short": ["15,000 of the 40,000 bytes announced", "'failed'"],
    "cancel": ["alice sees: This stream was cancelled here", "the sender cancelled it"],
    "enough": ["10,000 bytes are enough for me.", "alice's side: ok", "bob's side:   cancelled here"],
    "limit": ["over the limit of 1.0 kB"],
    "save": ["is saved as profile", "is saved as photo (1).png"],
    "log": ["film.bin", "cancelled here"],
    "close": ["[]"],
}
