"""Answers to the exercises of packets-and-data-tracks.ipynb, and outputs of its other cells."""

SEND = """
def send(columns):
    for start in range(0, 1000, {step}):
        part = {{name: values[start : start + {step}] for name, values in columns.items()}}
        alice.publish_data({packed}, topic="{topic}")
"""

MISSING = """
expected, arrived = 0, set()


@bob.on_data("series")
def take(data):
    global expected
    packet = json.loads(data)
    if "start" in packet:
        expected = packet["start"]
        arrived.clear()
    else:
        arrived.add(packet["number"])


@bob.rpc("missing")
def missing() -> int:
    return expected - len(arrived)
"""

TICK = """
clock = alice.publish_data_track("clock")


def tick(number):
    clock.push(str(number).encode(), timestamp=time.time_ns() // 1000)
"""


def send(step: int, packed: str = "pack(part)", topic: str = "climate") -> str:
    return SEND.format(step=step, packed=packed, topic=topic)


SOLUTIONS = {"exercise-1": send(500), "exercise-2": MISSING, "exercise-3": TICK}

WRONG = {
    "exercise-1": [
        ("send = None", "cannot be called"),
        ("del send", "there is no `send`"),
        ("def send(columns):\n    alice.publish_dat(1)", "AttributeError"),
        ("def send():\n    pass", "TypeError"),
        ("def send(columns):\n    pass", "no packet arrived on the topic"),
        (send(500, topic="weather"), "no packet arrived on the topic"),
        (send(1000, packed="json.dumps({name: list(part[name]) for name in part})"), "not a complete Arrow stream"),
        (send(1000), "15,360 are advised"),
        (send(5), "in 200 packets"),
        (send(500, packed="pack({'t': part['t']})"), "the first one has: t."),
        (send(400).replace("0, 1000", "0, 800"), "800 rows arrived instead of 1,000"),
        (send(400).replace("start + 400", "start + 500"), "Do the slices overlap?"),
        (send(500, packed="pack({name: part[name][::-1] for name in part})"), "in another order"),
        ("def send(columns):\n    alice.publish_data(bytes(70_000), topic='climate')", "PayloadTooLargeError"),
    ],
    "exercise-2": [
        (MISSING.replace("expected - len(arrived)", "'many'"), "Return a number"),
        (MISSING.replace("expected - len(arrived)", "max(arrived) + 1 - len(arrived)"), "says how many there are"),
        (MISSING.replace("        arrived.clear()\n", ""), "Clear the previous series' numbers"),
        (MISSING.replace('packet["number"]', 'packet["nubmer"]'), "The packet handler raised"),
        (MISSING.replace('"missing"', '"mising"'), "Decorate the function with"),
    ],
    "exercise-3": [
        ("tick = 3", "cannot be called"),
        ("def tick(number):\n    pass", "`clock.push(...)` sends a frame"),
        (TICK.replace("str(number).encode()", "number"), "TypeError: payload must be bytes"),
        (TICK.replace(", timestamp=time.time_ns() // 1000", ""), "has no timestamp"),
        (TICK.replace("time.time_ns() // 1000", "int(time.time())"), "in seconds"),
        (TICK.replace("time.time_ns() // 1000", "int(time.time() * 1000)"), "in milliseconds"),
        (TICK.replace("time.time_ns() // 1000", "time.time_ns()"), "in nanoseconds"),
        (TICK.replace("time.time_ns() // 1000", "17"), "the timestamp is 17"),
        (TICK.replace("str(number)", "repr([number])"), "the number as text"),
    ],
}

OUTPUTS = {
    "connect": ["alice", "bob"],
    "packet-next": ['alice imu b\'{"roll": 1.5, "pitch": -0.25}\'', "reliable: True"],
    "handler-send": ["b'28 bytes, thank you'"],
    "packet-python": ["alice rolls by 2.0", "b'thank you'"],
    "sample": ["machine_cpu", "kernel_memory_mb"],
    "telemetry": ["60 samples arrived"],
    "frame": ["resting", "working", "kernel_cpu"],
    "lossy": ["reliable", "lossy", "out of order"],
    "batch": ["JSON:", "Arrow:"],
    "batch-send": ["t: double", "x: double", "250"],
    "batch-speed": ["1,000 packets of one sample:", "4 packets of 250 samples:"],
    "track": ["RemoteDataTrack(name='arm', publisher='alice'"],
    "late": ["frames ", " missing"],
    "timestamps": ["50%", "ms"],
    "burst": ["refused:", "arrived:"],
    "close": ["[]"],
}
