"""Checks of arguments: one function for each kind of argument, for every method that takes one.

Each takes the value and the argument's name, and returns the value in the type that the rest of lknb works with. An
argument that can never work raises TypeError or ValueError, with its name and what is valid. No message contains a
text itself, which may be a secret.
"""

from __future__ import annotations

import datetime as dt
import math
import numbers
import operator
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from lknb.errors import did_you_mean
from lknb.event import KINDS, Event, Kind
from lknb.participants import Participant

LONGEST_WAIT = 1_000_000
"""Maximum seconds of a wait, about eleven days: longer ones do not fit into the SDK's fields."""

BYTES = " of bytes, such as 64 * 1024 * 1024"
"""What the whole number of a size counts."""

_HALVES = re.compile("[\ud800-\udfff]")


def text(value: Any, argument: str, hint: str = "") -> str:
    """A str that UTF-8 can encode. `hint` ends the message for a value of another type."""
    if not isinstance(value, str):
        hint = hint or ("Decode it with .decode()." if isinstance(value, bytes | bytearray) else "")
        raise TypeError(f"{argument} must be a str, not {_type(value)}.{hint and ' ' + hint}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{argument} contains U+{ord(value[error.start]):04X} at position {error.start}, half of a surrogate pair, "
            'which UTF-8 cannot encode. Replace it, for example with .encode(errors="replace").decode().'
        ) from None
    return value


def readable(value: Any, argument: str) -> str:
    """A str for people, with a replacement character for everything that UTF-8 cannot encode."""
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a str, not {_type(value)}.")
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", value)


def named(value: Any, argument: str, limit: int) -> str:
    """A str of 1 to `limit` bytes."""
    size = len(text(value, argument).encode())
    if not 1 <= size <= limit:
        raise ValueError(f"{argument} must have 1 to {limit} bytes, not {size:,}.")
    return cast(str, value)


def topic(value: Any, argument: str = "topic") -> str:
    """A topic, which may be empty."""
    return text(value, argument)


def wanted_topic(value: Any, argument: str = "topic") -> str | None:
    """The one topic to receive, or None for every topic."""
    if value is None:
        return None
    return text(value, argument, f"It is one {argument}, or None for every one; filter by event.topic for several.")


def identity(value: Any, argument: str) -> str:
    """An identity, from a str or a `Participant`."""
    found = value.identity if isinstance(value, Participant) else value
    if not isinstance(found, str):
        hint = " Pass its .identity." if hasattr(value, "identity") else ""
        hint = " Pass one identity." if isinstance(value, list | tuple | set | frozenset) else hint
        raise TypeError(f"{argument} must be an identity (a str) or a Participant, not {_type(value)}.{hint}")
    if not text(found, argument):
        raise ValueError(f"{argument} must be an identity, not an empty str.")
    return found


def identities(value: Any, argument: str, everybody: str) -> tuple[str, ...] | None:
    """One identity or several, each once; None stays None. `everybody` says what omitting the argument does."""
    if value is None:
        return None
    if isinstance(value, str | Participant) or hasattr(value, "identity"):
        return (identity(value, argument),)
    if isinstance(value, bytes | bytearray | memoryview) or not isinstance(value, Iterable):
        raise TypeError(
            f"{argument} must be an identity (a str), a Participant, or several of them in a list, not {_type(value)}."
        )
    found = tuple(dict.fromkeys(identity(each, argument) for each in value))
    if not found:
        raise ValueError(f"{argument}=[] contains no identity. Omit {argument}= {everybody}.")
    return found


def kinds(value: Any, argument: str = "kind") -> frozenset[Kind] | None:
    """One kind of event or several; None, for all of them, stays None.

    The message for an unknown kind shows how to pass a topic, since that is the usual cause.
    """
    if value is None:
        return None
    if not isinstance(value, str) and (isinstance(value, bytes) or not isinstance(value, Iterable)):
        raise TypeError(f"{argument} must be a kind of event, several in a list, or None for all, not {_type(value)}.")
    given = [value] if isinstance(value, str) else list(value)
    if not given:
        raise ValueError(f"{argument}=[] contains no kind of event. Omit {argument}= for all of them.")
    for name in given:
        if name not in KINDS:
            raise ValueError(
                f"{name!r:.80} is not a kind of event{did_you_mean(str(name), KINDS)} Kinds: {', '.join(KINDS)}. "
                f"The kind comes first; if {name!r:.80} is a topic, write topic={name!r:.80}."
            )
    return cast(frozenset[Kind], frozenset(given))


def choice(value: Any, argument: str, valid: Iterable[str]) -> str:
    """One of the words in `valid`."""
    words = list(valid)
    if not isinstance(value, str) or value not in words:
        close = did_you_mean(value, words) if isinstance(value, str) else "."
        *others, last = [f'"{word}"' for word in words]
        listed = f"{', '.join(others)} or {last}" if others else last
        raise (ValueError if isinstance(value, str) else TypeError)(
            f"{argument} must be {listed}, not {value!r:.80}{close}"
        )
    return value


def flag(value: Any, argument: str) -> bool:
    """True or False; NumPy's own too."""
    if not isinstance(value, bool) and _numpy_kind(value) != "b":
        raise TypeError(f"{argument} must be True or False, not {value!r:.80}.")
    return bool(value)


def seconds(value: Any, argument: str = "timeout", *, least: float | None = None) -> float:
    """A positive number of seconds, or one of at least `least`. Takes numbers of any library, and a timedelta."""
    valid = f"{argument} must be a positive number of seconds"
    if least is not None:
        valid = f"{argument} must be a number of seconds, at least {least:g}"
    if isinstance(value, dt.timedelta):
        value = value.total_seconds()
    if not _is_number(value):
        unit = " Convert it to seconds." if _numpy_kind(value) == "m" else ""
        raise TypeError(f"{valid}, not {value!r:.80}.{unit}")
    number = float(value)
    if math.isnan(number) or (number <= 0 if least is None else number < least) or number > LONGEST_WAIT:
        raise ValueError(f"{valid}, and at most {LONGEST_WAIT:,}, not {value!r:.80}.")
    return number


def seconds_or_none(value: Any, argument: str = "timeout") -> float | None:
    """A number of seconds from 0 on, or None for a wait without a limit."""
    if value is None:
        return None
    if _is_number(value) and float(value) == math.inf:
        raise ValueError(f"{argument} must be a number of seconds, or None to wait without a limit, not {value!r}.")
    return seconds(value, argument, least=0)


def whole(value: Any, argument: str, of: str = "", *, least: int = 1, most: int = 2**63 - 1) -> int:
    """A whole number from `least` to `most`: an int of any library, or a float without a fraction, such as 64e6.

    Args:
        value: the argument's value.
        argument: the argument's name.
        of: what it counts, with an example if that helps.
        least: the smallest valid number.
        most: the largest valid number.
    """
    number = float(value) if _is_number(value) and not isinstance(value, numbers.Integral) else value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not _is_number(number) or isinstance(number, float):
        error = ValueError if isinstance(number, float) else TypeError
        raise error(f"{argument} must be a whole number{of}, not {value!r:.80}.")
    number = operator.index(number)
    if not least <= number <= most:
        bound = f"at least {least:,}" if number < least else f"at most {most:,}"
        raise ValueError(f"{argument} must be a whole number{of}, and {bound}, not {value!r:.80}.")
    return number


def data(value: Any, argument: str, *, or_text: bool = False) -> bytes:
    """The bytes of a bytes-like value; of a str too, as UTF-8, with `or_text`."""
    if or_text and isinstance(value, str):
        return text(value, argument).encode()
    if or_text and not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{argument} must be bytes or str, not {_type(value)}.{_as_bytes(value)}")
    return bytes(buffer(value, argument))


def buffer(value: Any, argument: str) -> bytes | bytearray | memoryview:
    """A bytes-like value, without copying it."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{argument} must be bytes, not {_type(value)}.{_as_bytes(value)}")
    return value


def attributes(value: Any, argument: str = "attributes") -> dict[str, str]:
    """A copy of a mapping from str to str. A key is not empty."""
    if not isinstance(value, Mapping):
        raise TypeError(f'{argument} must be a dict of strings, such as {{"status": "ready"}}, not {_type(value)}.')
    for key, each in value.items():
        if not isinstance(key, str) or not isinstance(each, str) or not key:
            raise TypeError(f"Attributes must be strings: {key!r:.60}: {each!r:.60}. Use str() or json.dumps().")
        text(key, f"A key of {argument}")
        text(each, f"{argument}[{key!r:.60}]")
    return dict(value)


def stream_id(value: Any, argument: str) -> str | None:
    """The id of a stream, from the id or from its event; None stays None."""
    if value is None:
        return None
    valid = f"{argument} must be the event of a text or its id, not {value!r:.60}."
    if not isinstance(value, str | Event):
        raise TypeError(valid)
    if not value or (isinstance(value, Event) and value.kind not in ("text", "bytes")):
        raise ValueError(valid)
    return value.id if isinstance(value, Event) else text(value, argument)


def path(value: Any, argument: str) -> Path:
    """A path, from a str or a path object, with `~` replaced."""
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise TypeError(f"{argument} must be a path (a str or a pathlib.Path), not {_type(value)}.")
    if "\0" in os.fspath(value):
        raise ValueError(f"{argument} contains a NUL character, which no path can contain.")
    return Path(value).expanduser()


def paths(value: Any, argument: str) -> list[Path]:
    """One path or several."""
    if isinstance(value, str | bytes | os.PathLike) or not isinstance(value, Iterable):
        return [path(value, argument)]
    return [path(each, argument) for each in value]


def moment(value: Any, argument: str) -> dt.datetime:
    """A timezone-aware datetime."""
    now = "such as datetime.now(UTC) - timedelta(minutes=5)"
    if not isinstance(value, dt.datetime):
        raise TypeError(f"{argument} must be a timezone-aware datetime, {now}, not {_type(value)}.")
    if value.utcoffset() is None:
        raise ValueError(f"{argument} must be a timezone-aware datetime, {now}; {value!r} has no timezone.")
    return value


def _type(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _as_bytes(value: Any) -> str:
    """The end of a message: how to make bytes of this value."""
    if hasattr(value, "tobytes"):  # arrays of NumPy and of the standard library
        return " Use .tobytes(), which keeps neither type nor shape."
    if isinstance(value, str):
        return " Encode text with .encode()."
    if isinstance(value, list | tuple) and value and all(type(each) is int and 0 <= each < 256 for each in value):
        return " Use bytes(...)."
    return " Use json.dumps(...).encode() for JSON values."


def _is_number(value: Any) -> bool:
    # NumPy registers its numbers with `numbers`, and with them its time spans, which are none.
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and _numpy_kind(value) not in ("m", "b")


def _numpy_kind(value: Any) -> Any:
    """NumPy's letter for the type of a value, "" if it is not NumPy's: "b" for bool, "m" for a time span."""
    return getattr(getattr(value, "dtype", None), "kind", "")
