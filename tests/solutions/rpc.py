"""Answers to the exercises of rpc.ipynb, and outputs of its other cells."""

SOLUTIONS = {
    "exercise-1": """
@house.rpc("fahrenheit", callers=["alice", "examiner"])
def fahrenheit(celsius: float) -> float:
    return celsius * 9 / 5 + 32
""",
    "exercise-2": """
chairs = {}


@house.rpc("reserve")
def reserve(chair: str, caller: str) -> str:
    owner = chairs.setdefault(chair, caller)
    if owner != caller:
        raise lknb.RpcError(602, f"{owner} has {chair}.")
    return "Yours."
""",
    "exercise-3": """
def persistent(room, to, method, payload=None):
    for attempt in range(3):
        try:
            return room.perform_rpc(to, method, payload, timeout=0.3)
        except lknb.RpcError as error:
            if error.code != 1502 or attempt == 2:
                raise
""",
}

_SERVE = '@house.rpc("fahrenheit", callers=["alice", "examiner"])\n'
_LOOP = """
def persistent(room, to, method, payload=None):
    for attempt in range({times}):
        try:
            return room.perform_rpc(to, method, payload, timeout=0.3)
        except {error}:
            {then}
"""

WRONG = {
    "exercise-1": [
        ("house.off('fahrenheit'); fahrenheit = None", "does not serve"),
        (_SERVE + "def fahrenheit(celsius):\n    return celsius * 9 / 5 + 32", "reached the function"),
        (_SERVE + "def fahrenheit(celsius: str) -> str:\n    return celsius", "refused with 400"),
        (
            _SERVE + "def fahrenheit(celsius: int) -> float:\n    return celsius * 9 / 5 + 32",
            "use the type hint `float`",
        ),
        (
            _SERVE + "def fahrenheit(degrees: float) -> float:\n    return degrees * 9 / 5 + 32",
            "must be named `celsius`",
        ),
        (
            _SERVE + "def fahrenheit(celsius: float) -> float:\n    return celsius * 9 / 5",
            "100 °C must give the number 212",
        ),
        (_SERVE + "def fahrenheit(celsius: float):\n    celsius * 9 / 5 + 32", "without `return`"),
        (_SERVE + "def fahrenheit(celsius: float):\n    return nothing", "the traceback is below"),
        (
            '@house.rpc("fahrenheit")\ndef fahrenheit(celsius: float) -> float:\n    return celsius * 9 / 5 + 32',
            "a stranger called it too",
        ),
        (
            '@house.rpc("fahrenheit", callers="alice")\ndef fahrenheit(celsius: float): return celsius * 9 / 5 + 32',
            "examiner may not call it",
        ),
        (
            "%%lk handle fahrenheit --caller alice --caller examiner\npayload['celsius'] * 9 / 5 + 32",
            "does not serve",
        ),
    ],
    "exercise-2": [
        ("house.off('reserve')", 'does not serve "reserve"'),
        ("@house.rpc('reserve')\ndef reserve(chair: str): return f'{chair} is yours.'", 'instead of "Yours."'),
        ("@house.rpc('reserve')\ndef reserve(place: str): return 'Yours.'", "got 400 INVALID_ARGUMENTS"),
        (
            "@house.rpc('reserve')\ndef reserve(chair: str, caller: str):\n"
            "    return 'Yours.' if chairs.setdefault(chair, caller) == caller else 'Taken.'",
            "but must get an error",
        ),
        (
            "@house.rpc('reserve')\ndef reserve(chair: str, caller: str):\n"
            "    if chairs.setdefault(chair, caller) != caller:\n        raise ValueError('taken')\n"
            "    return 'Yours.'",
            "the code for any other exception",
        ),
        (
            "@house.rpc('reserve')\ndef reserve(chair: str, caller: str):\n"
            "    if chairs.setdefault(chair, caller) != caller:\n        raise lknb.RpcError(409, 'taken')\n"
            "    return 'Yours.'",
            "instead of 602",
        ),
        (
            "@house.rpc('reserve')\ndef reserve(chair: str, caller: str):\n"
            "    if chairs.setdefault(chair, caller) != caller:\n        raise lknb.RpcError(602, 'taken')\n"
            "    return 'Yours.'",
            "does not name the chair's owner",
        ),
        (
            "@house.rpc('reserve')\ndef reserve(chair: str, caller: str):\n"
            "    if chair in chairs:\n        raise lknb.RpcError(602, f'{chairs[chair]} has it.')\n"
            "    chairs[chair] = caller\n    return 'Yours.'",
            'Answer "Yours." to the owner',
        ),
        (
            "taken = []\n@house.rpc('reserve')\ndef reserve(chair: str, caller: str):\n"
            "    if taken and taken[0] != caller:\n        raise lknb.RpcError(602, f'{taken[0]} has it.')\n"
            "    taken.append(caller)\n    return 'Yours.'",
            "which was free",
        ),
    ],
    "exercise-3": [
        ("persistent = None", "not a function"),
        ("def persistent(*_): return 'here'", "did not call"),
        ("async def persistent(*_): return 'here'", "write a plain function"),
        ("def persistent(room, to, method, payload): return room.perform_rpc(to, method)", "without its payload"),
        # 40 calls of 0.3 s or more outlast the check's 10 s; the remaining calls then fail immediately, and it ends.
        (_LOOP.format(times=40, error="lknb.RpcError", then="pass"), "was still calling"),
        (_LOOP.format(times=1, error="ZeroDivisionError", then="pass"), "was called once"),
        (_LOOP.format(times=3, error="lknb.RpcError", then="return None"), "Call again, in a loop"),
        (_LOOP.format(times=2, error="lknb.RpcError", then="if attempt == 1: raise"), "was called 2 times"),
        (_LOOP.format(times=3, error="lknb.RpcError", then="pass"), "through: `raise` it"),
        (_LOOP.format(times=5, error="lknb.RpcError", then="if attempt == 4: raise"), "was called 5 times instead of"),
        (_LOOP.format(times=3, error="lknb.RpcError", then="if attempt == 2: raise"), "call again only for 1502"),
        (
            "def persistent(room, to, method, payload=None):\n"
            "    for _ in range(3):\n"
            "        try:\n            answer = room.perform_rpc(to, method, payload, timeout=0.3)\n"
            "        except lknb.RpcError:\n            pass\n",
            "Return the answer",
        ),
        ("def persistent(room, to, method, payload): return undefined", "NameError"),
    ],
}

OUTPUTS = {
    "connect": ["2 participants", "'house' (you)", "'alice'"],
    "call": ["10.0"],
    "call-body": ["9.0"],
    "python": ["25.0\n30.0"],
    "tools": ["alice set the kitchen to 21 degrees."],
    "refused": [
        "400 temperature: place: input should be 'kitchen' or 'studio'",
        "400 heat: degrees: input should be a valid number",
        "did you mean 'place'?",
    ],
    "refused-own": ["601", "from 5 to 30 degrees, not to 90.", '{"max": 30}'],
    "nobody": ["1400 UNSUPPORTED_METHOD", "'huose' is not in the room: ['house']"],
    "timeout": ["1502 RESPONSE_TIMEOUT", "after "],
    "together": ["Tea is ready.", "after "],
    "guest": ["The door is open, alice.", "403 FORBIDDEN: 'guest' may not call 'unlock'."],
    "console": ["Calls of remote methods", "set the kitchen to 21 degrees"],
    "console-house": ["area", "temperature", "unlock"],
    "describe": ["How warm or cold is a place", "'enum': ['kitchen', 'studio']"],
    "ask": [
        "[temperature {'place': 'kitchen'}] 21.0",
        "agent set the studio to 23.5 degrees.",
        "Sorry. heat: degrees: is missing",
        "Sorry. The house can be set from 5 to 30 degrees, not to 200.",
        "[temperature {'place': 'studio'}] 23.5",
    ],
    "try-answer": ["[temperature {'place': 'kitchen'}] 21.0"],
    "log": ["ok      agent set the studio", "failed  601 APPLICATION"],
    "close": ["[]"],
}
