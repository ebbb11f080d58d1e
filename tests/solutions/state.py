"""Answers to the exercises of state.ipynb, and outputs of its other cells."""

SOLUTIONS = {
    "exercise-1": """
def raise_hand(room):
    room.attributes["hand"] = "up"


def lower_hand(room):
    room.local_participant.set_attributes({"hand": ""})
""",
    "exercise-2": """
def raised(room):
    return sorted(who for who, each in room.participants.items() if each.attributes.get("hand") == "up")
""",
    "exercise-3": """
import json


def follow(room):
    settings = {}

    def take(text):
        settings.clear()
        settings.update(json.loads(text or "{}"))

    @room.on_room_metadata()
    def changed(data):
        take(data)

    take(room.metadata)
    return settings
""",
}

_HANDS = """
def raise_hand(room):
    {up}


def lower_hand(room):
    {down}
"""
_UP = 'room.attributes["hand"] = "up"'
_DOWN = 'room.local_participant.set_attributes({"hand": ""})'

_RAISED = """
def raised(room):
    return {answer}
"""

_FOLLOW = """
import json


def follow(room):
    settings = {first}

    @room.on_room_metadata()
    def changed(data):
        {then}

    return settings
"""

WRONG = {
    "exercise-1": [
        ("raise_hand = None", "not a function"),
        (_HANDS.format(up='room.attributes["hand"] = True', down=_DOWN), "Attributes must be strings"),
        (_HANDS.format(up='alice.attributes["hand"] = "up"', down=_DOWN), "alice's hand moved"),
        (_HANDS.format(up='room.attributes["hand"] = "yes"', down=_DOWN), 'it must be "up"'),
        (_HANDS.format(up='room.participants[room.identity].attributes["hand"] = "up"', down=_DOWN), "TypeError"),
        (_HANDS.format(up=_UP, down='del room.attributes["hand"]'), "while no hand was up"),
        (_HANDS.format(up=_UP, down='room.attributes["hand"] = "down"'), "still exists"),
        (_HANDS.format(up=_UP, down='room.attributes["hand"] = None'), "while no hand was up"),
        (_HANDS.format(up=_UP, down="room.attributes.clear()"), "another attribute, `status`, is gone too"),
    ],
    "exercise-2": [
        (_RAISED.format(answer="None"), "`raised` returned `None`"),
        (
            _RAISED.format(
                answer='[who for who, each in room.participants.items() if each.attributes["hand"] == "up"]'
            ),
            "KeyError",
        ),
        (
            _RAISED.format(
                answer='{w for w, each in room.participants.items() if each.attributes.get("hand") == "up"}'
            ),
            "of the type set",
        ),
        (
            _RAISED.format(answer='[each for each in room.participants.values() if "hand" in each.attributes]'),
            "Return identities",
        ),
        (
            _RAISED.format(answer='sorted(who for who, p in room.participants.items() if "hand" in p.attributes)'),
            "idler is in the list",
        ),
        (
            _RAISED.format(
                answer='sorted(w for w, p in room.remote_participants.items() if p.attributes.get("hand") == "up")'
            ),
            "`room.participants` has everybody",
        ),
        (
            _RAISED.format(
                answer="sorted((w for w, p in room.participants.items() if p.attributes.get('hand') == 'up'), "
                "reverse=True)"
            ),
            "use `sorted(...)`",
        ),
        (_RAISED.format(answer="room.hands"), "AttributeError"),
    ],
    "exercise-3": [
        ("def follow(room): pass", "Return the dict"),
        ("import json\ndef follow(room): return json.loads(room.metadata)", "which is not valid JSON"),
        ("def follow(room):\n    @room.on_room_metadata\n    def changed(data): pass", "with parentheses"),
        ("import json\ndef follow(room): return json.loads(room.metadata or '{}')", "register a handler"),
        (_FOLLOW.format(first="{}", then="settings = json.loads(data)"), "not create another one"),
        (_FOLLOW.format(first="{}", then="settings.update(json.load(data))"), "The handler raised"),
        (
            _FOLLOW.format(first="{}", then="settings.clear(); settings.update(json.loads(data))"),
            "joined after the change",
        ),
        (
            _FOLLOW.format(first='json.loads(room.metadata or "{}")', then="settings.update(json.loads(data))"),
            "`clear()` removes old keys",
        ),
    ],
}

OUTPUTS = {
    "connect": ["alice, bob"],
    "attrs": ["alice     desk       3", "alice     status     ready"],
    "python": ["bob receives {'status': 'busy'}", "and alice is at desk 3"],
    "delete": ["bob: lunch is now '12:30'", "bob: lunch is now ''", "{'status': 'back'}"],
    "team": ["Participants", "Dave", "where=studio"],
    "day": ["carol is on the phone", "dave is arriving"],
    "board": ["ready for tea", "arriving"],
    "leave": ["'erin': 'in a hurry'", "'dave': 'arriving'}"],
    "link": ["VBox(children=(IntSlider("],
    "move": ["bob's bar shows 70", "bob's bar shows 35"],
    "back": ["alice's slider shows 100", "alice's slider shows 55"],
    "room": ['{"title": "Stand-up", "minutes": 15}'],
    "configure": ['carol receives {"title": "Stand-up", "minutes": 20}'],
    "own-metadata": ['"role": "host"'],
    "late": ['configuration: {"title": "Stand-up", "minutes": 20}', "role: host", "carol is free", "texts: 0"],
    "refused": ["TypeError", "PayloadTooLargeError", "StateError"],
    "visitor": ["{'role': 'visitor'}", "canUpdateOwnMetadata is missing", "roomAdmin is missing"],
    "close": ["[]"],
}
