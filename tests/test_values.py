"""Python values in remote calls: what arrives of each type, what is refused and why, and what a handler gets."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import itertools
import math
import pathlib
import subprocess
import sys
import types
import typing
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
from livekit import rtc
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import server

Peer = Callable[..., PlainPeer]


@pytest.fixture(scope="module")
def pair(livekit: server.RunningServer) -> Iterator[tuple[lknb.Room, lknb.Room]]:
    with lknb.connect("values", "alice", attributes={"role": "host"}) as alice, lknb.connect("values", "bob") as bob:
        eventually(lambda: "bob" in alice.participants and "alice" in bob.participants)
        yield alice, bob


@pytest.fixture
def alice(pair: tuple[lknb.Room, lknb.Room]) -> lknb.Room:
    return pair[0]


@pytest.fixture
def bob(pair: tuple[lknb.Room, lknb.Room]) -> Iterator[lknb.Room]:
    room = pair[1]
    yield room
    for handler in room.handlers:
        room.off(handler)


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Item:
    name: str
    parts: Any = None


class Order(pydantic.BaseModel):
    item: str
    count: int = pydantic.Field(ge=1)
    due: dt.date | None = None


class Arrays(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    values: Any


@pydantic.dataclasses.dataclass
class Renamed:
    name: str = pydantic.Field(serialization_alias="NAME")


RED_AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
EAST = dt.timezone(dt.timedelta(hours=2))
FRAME = pd.DataFrame(
    {"n": [1, 2], "x": [0.5, None], "at": pd.Series(["2026-01-02", None], dtype="datetime64[ns]"), "who": ["a", None]}
)
ROWS = [
    {"n": 1, "x": 0.5, "at": "2026-01-02T00:00:00", "who": "a"},
    {"n": 2, "x": None, "at": None, "who": None},
]


def returned(alice: lknb.Room, bob: lknb.Room, value: Any) -> Any:
    """What arrives of a value that is sent and returned; both ways must agree."""
    received: list[Any] = []

    @bob.rpc("keep")
    def keep(payload: Any) -> Any:
        received.append(payload)
        return value

    answer = alice.perform_rpc("bob", "keep", value)
    assert received == [answer]
    return answer


# Sending

MAPPINGS_AND_SEQUENCES: list[tuple[Any, Any]] = [
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (collections.UserDict(a=1), {"a": 1}),
    (collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    ({1: "a", 2.5: "b", True and "x": "c"}, {"1": "a", "2.5": "b", "x": "c"}),
    ({Colour.RED: 1, dt.date(2026, 1, 2): 2, np.int64(3): 3}, {"red": 1, "2026-01-02": 2, "3": 3}),
    (range(3), [0, 1, 2]),
    ((1, 2), [1, 2]),
    (Point(1, 2), [1, 2]),
    (collections.deque([1, 2]), [1, 2]),
    (collections.UserList([1]), [1]),
    (array.array("d", [1.5]), [1.5]),
    ({1}, [1]),
    (frozenset({"a"}), ["a"]),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.values(), [1]),
    ({"a": 1}.items(), [["a", 1]]),
    (Item("a", (Item("b"), Colour.BLUE)), {"name": "a", "parts": [{"name": "b", "parts": None}, "blue"]}),
    (Order(item="tea", count=2, due=dt.date(2026, 1, 2)), {"item": "tea", "count": 2, "due": "2026-01-02"}),
    (Arrays(values=np.array([1, 2])), {"values": [1, 2]}),
    (Renamed("a"), {"NAME": "a"}),
]
SCALARS: list[tuple[Any, Any]] = [
    (decimal.Decimal("1.50"), "1.50"),
    (fractions.Fraction(1, 2), "1/2"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (ipaddress.ip_address("127.0.0.1"), "127.0.0.1"),
    (Colour.RED, "red"),
    (Level.HIGH, 2),
    (2**53 + 1, 2**53 + 1),
    (-(2**64), -(2**64)),
    (10**400, 10**400),
    ("\N{PILE OF POO}", "\N{PILE OF POO}"),
    (-0.0, -0.0),
]
TIMES: list[tuple[Any, Any]] = [
    (RED_AT, "2026-01-02T03:04:05Z"),
    (RED_AT.replace(tzinfo=None, microsecond=6), "2026-01-02T03:04:05.000006"),
    (RED_AT.astimezone(EAST), "2026-01-02T05:04:05+02:00"),
    (RED_AT.date(), "2026-01-02"),
    (dt.time(1, 2), "01:02:00"),
    (dt.time(1, 2, tzinfo=dt.UTC), "01:02:00Z"),
    (dt.timedelta(seconds=90), "PT1M30S"),
    (np.datetime64("2026-01-02T03:04:05", "ns"), "2026-01-02T03:04:05"),
    (np.datetime64("2026-01-02T03:04:05.123456789"), "2026-01-02T03:04:05.123456789"),
    (np.datetime64("2026-01-02T03"), "2026-01-02T03:00:00"),
    (np.datetime64("2026-01-02"), "2026-01-02"),
    (np.datetime64("NaT"), None),
    (np.timedelta64(90, "s"), "PT1M30S"),
    (np.timedelta64(-5, "ns"), "-PT0.000000005S"),
    (np.timedelta64(1_500, "ms"), "PT1.5S"),
    (np.timedelta64("NaT"), None),
    (np.array(["2026-01-02", "NaT"], "M8[ns]"), ["2026-01-02T00:00:00", None]),
    (np.array([[90]], "m8[s]"), [["PT1M30S"]]),
    (pd.Timestamp("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05Z"),
    (pd.Timestamp("2026-01-02T03:04:05.000000001"), "2026-01-02T03:04:05.000000001"),
    (pd.Timedelta("90s"), "PT1M30S"),
    (pd.Timedelta(-5, "ns"), "-PT0.000000005S"),
    (pd.NaT, None),
    (pd.date_range("2026-01-02", periods=1), ["2026-01-02T00:00:00"]),
    (pd.Series(pd.to_timedelta(["90s", None])), ["PT1M30S", None]),
    (pa.scalar(RED_AT), "2026-01-02T03:04:05Z"),
]
COLUMNS_AND_TABLES: list[tuple[Any, Any]] = [
    (np.bool_(True), True),
    (np.int64(2**62), 2**62),
    (np.float32(0.5), 0.5),
    (np.longdouble(0.5), 0.5),
    (np.str_("a"), "a"),
    (np.array(5), 5),
    (np.array([1]), [1]),
    (np.array([[1.5], [2]]), [[1.5], [2.0]]),
    (np.array([]), []),
    (np.array([1, "a", None], object), [1, "a", None]),
    (np.array([(1, 0.5)], [("n", "i4"), ("x", "f8")]), [{"n": 1, "x": 0.5}]),
    (np.ma.array([1, 2], mask=[False, True]), [1, None]),
    (pd.NA, None),
    (pd.Series([1]), [1]),
    (pd.Series([1, None], dtype="Int64"), [1, None]),
    (pd.Series([0.5, None]), [0.5, None]),
    (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
    (pd.Series([1, 2, 3])[[False, True, False]], [2]),
    (pd.Index([1]), [1]),
    (pd.MultiIndex.from_tuples([(1, "a")]), [[1, "a"]]),
    (pd.Categorical(["a"]), ["a"]),
    (pd.DataFrame({"a": [1]}), [{"a": 1}]),
    (pd.DataFrame([[1, 2]]), [{"0": 1, "1": 2}]),
    (pd.DataFrame(), []),
    (FRAME, ROWS),
    (pa.Table.from_pandas(FRAME), ROWS),
    (pa.record_batch({"a": [1]}), [{"a": 1}]),
    (pa.array([1]), [1]),
    (pa.chunked_array([[1], [None]]), [1, None]),
    (pa.scalar(1), 1),
    (pa.scalar({"a": [1]}), {"a": [1]}),
]


@pytest.mark.parametrize(
    ("value", "arrives"),
    MAPPINGS_AND_SEQUENCES + SCALARS + TIMES + COLUMNS_AND_TABLES,
    ids=lambda value: type(value).__name__,
)
def test_value_arrives_by_its_type(alice: lknb.Room, bob: lknb.Room, value: Any, arrives: Any) -> None:
    got = returned(alice, bob, value)
    assert got == arrives
    assert type(got) is type(arrives)
    assert returned(alice, bob, {"in": [value]}) == {"in": [arrives]}


def test_attributes_participants_and_events_arrive_as_objects(alice: lknb.Room, bob: lknb.Room) -> None:
    assert returned(alice, bob, alice.attributes) == {"role": "host"}
    assert returned(alice, bob, alice.participants["alice"].attributes) == {"role": "host"}
    assert returned(alice, bob, alice.participants)["alice"]["permissions"]["canPublishData"] is True
    event = returned(alice, bob, alice.events.filter("participant")[-1])
    assert event["kind"] == "participant"
    assert not {name for name in event if name.startswith("_")}


def test_polars_columns_and_tables_arrive(alice: lknb.Room, bob: lknb.Room) -> None:
    pl = pytest.importorskip("polars")
    assert returned(alice, bob, pl.Series([1])) == [1]
    assert returned(alice, bob, pl.DataFrame({"a": [1]})) == [{"a": 1}]
    frame = pl.DataFrame({"n": [1, None], "at": [RED_AT, None]})
    assert returned(alice, bob, frame) == [{"n": 1, "at": "2026-01-02T03:04:05Z"}, {"n": None, "at": None}]
    with pytest.raises(TypeError, match=r"LazyFrame cannot be sent as JSON: .* collect\(\)"):
        alice.perform_rpc("bob", "keep", frame.lazy())
    with pytest.raises(TypeError, match="drops nanoseconds"):
        alice.perform_rpc("bob", "keep", pl.Series([RED_AT]).dt.cast_time_unit("ns"))


class Lookalike:
    """Something with numpy's methods and no type that is known."""

    def tolist(self) -> list[int]:
        return [1]

    item = tolist


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: list[Any] = []
for _ in range(250):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1j, "complex cannot be sent as JSON: JSON has no complex numbers. Send the real and the imaginary part"),
        (np.complex64(1), "JSON has no complex numbers"),
        (np.array([1j]), r"ndarray cannot be sent as JSON: complex at \[0\]: JSON has no complex numbers"),
        ({"a": [0, {"b": 1j}]}, r"dict cannot be sent as JSON: complex at \['a'\]\[1\]\['b'\]: JSON has no complex"),
        (b"abc", r"JSON has no bytes. Use send_bytes, or send base64"),
        (bytearray(b"abc"), "JSON has no bytes"),
        (memoryview(b"abc"), "JSON has no bytes"),
        (np.array([b"a"]), "JSON has no bytes"),
        (np.void(b"a"), "JSON has no bytes"),
        (pa.array([b"a"]), "JSON has no bytes"),
        (math.nan, "JSON has no NaN. Send None or a text"),
        ([1.5, -math.inf], r"at \[1\]: JSON has no Infinity"),
        (np.float32("nan"), "JSON has no NaN"),
        (np.array([0.5, np.nan]), r"at \[1\]: JSON has no NaN"),
        (pd.Series([np.inf]), "JSON has no Infinity"),
        (pa.array([math.nan]), "JSON has no NaN"),
        (decimal.Decimal("NaN"), "JSON has no NaN"),
        (Arrays(values="\ud800"), "Arrays cannot be sent as JSON"),
        (Arrays(values=[Lookalike()]), "Arrays cannot be sent as JSON: Lookalike at .*: this type has no form"),
        ("a\ud800", r"U\+D800, half of a surrogate pair"),
        ({"\ud800": 1}, r"U\+D800"),
        (["é", "\udfff"], r"str at \[1\]: it contains U\+DFFF"),
        (10**4300, "more than 4,300 digits"),
        ([1, 10**4300], "more than 4,300 digits"),
        (CYCLE, "contains itself, or is nested more than 200 levels"),
        (DEEP, "nested more than 200 levels"),
        ({(1, 2): 3}, r"JSON has no key \(1, 2\). Keys must be str, numbers, dates or times"),
        ({None: 1}, "JSON has no key None"),
        ({b"a": 1}, "JSON has no key b'a'"),
        ({math.nan: 1}, "JSON has no key nan"),
        ({1: "a", "1": "b"}, "two of its keys are '1' in JSON"),
        (iter([1]), r"an iterator can be read only once. Send list\(...\) of it"),
        (itertools.count(), "an iterator can be read only once"),
        ((x for x in [1]), "generator cannot be sent as JSON"),
        (object(), "this type has no form in JSON. Convert it"),
        (Item, "type cannot be sent as JSON"),
        (print, "has no form in JSON"),
        (Lookalike(), "Lookalike cannot be sent as JSON: this type has no form in JSON"),
        (np.timedelta64(1, "M"), "no fixed length"),
        (np.timedelta64(5), "no fixed length"),
        (pd.Period("2026Q1"), "Period cannot be sent as JSON"),
        (pd.Series([1], index=["a"]), r"labels of its index would be lost. Send to_dict\(\), or to_list\(\) without"),
        (FRAME.groupby("who").mean(), r"labels of its index would be lost. Send reset_index\(\), or"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two of its columns have the same name"),
        (pa.table([[1], [2]], names=["a", "a"]), "two of its columns have the same name"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_without_json_form_is_refused_with_remedy(alice: lknb.Room, value: Any, why: str) -> None:
    sent = alice.events.total
    with pytest.raises(TypeError, match=why) as caught:
        alice.perform_rpc("bob", "keep", value)
    assert len(str(caught.value)) < 300
    assert alice.events.total == sent


def test_labelled_frame_arrives_as_the_refusal_suggests(alice: lknb.Room, bob: lknb.Room) -> None:
    means = pd.DataFrame({"who": ["a", "a"], "n": [1, 2]}).groupby("who").mean()
    assert returned(alice, bob, means.reset_index()) == [{"who": "a", "n": 1.5}]
    assert returned(alice, bob, means["n"].to_dict()) == {"a": 1.5}


def test_log_keeps_the_values_that_were_sent(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.rpc("keep")(lambda payload: Item("a", payload))
    payload: dict[str, Any] = {"at": RED_AT, "values": [1]}
    alice.perform_rpc("bob", "keep", payload)
    payload["values"].append(2)
    arrived = {"at": "2026-01-02T03:04:05Z", "values": [1]}
    assert alice.events.filter("rpc", "keep")[-1].data == arrived
    served = eventually(lambda: bob.events.filter("rpc", "keep", status="ok"))[-1]
    assert (served.data, served.result) == (arrived, {"name": "a", "parts": arrived})


def test_conversion_imports_no_optional_library() -> None:
    code = (
        "import sys; from lknb.systems.json_values import jsonable; jsonable({'a': [1, (2.5,), {3}]});"
        "print([name for name in ('pandas', 'polars', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


# Receiving


class Options(typing.TypedDict):
    speed: int


@dataclasses.dataclass
class Part:
    count: int
    others: list[int] = dataclasses.field(default_factory=list)


def takes_numbers(
    a: int, b: int | None = None, c: list[int] | None = None, d: Part | None = None, e: int | str = 0, f: float = 0.0
) -> list[Any]:
    return [a, b, c, d, e, f]


def takes_either(value: int | float, anything: Any = None) -> list[str]:
    return [type(value).__name__, type(anything).__name__]


def takes_level(level: Level, which: typing.Literal[1, 2] = 1) -> list[Any]:
    return [level.name, which]


def takes_constrained(n: Annotated[int, pydantic.Field(gt=0)]) -> int:
    return n


@pytest.mark.parametrize(
    ("function", "payload", "result"),
    [
        (takes_numbers, '{"a": 3.0}', [3, None, None, None, 0, 0.0]),
        (takes_numbers, '{"a": 3, "b": 4.0, "c": [1.0, 2]}', [3, 4, [1, 2], None, 0, 0.0]),
        (
            takes_numbers,
            '{"a": 1, "d": {"count": 2.0, "others": [3.0]}, "e": 4.0, "f": 5}',
            [1, None, None, {"count": 2, "others": [3]}, 4, 5.0],
        ),
        (takes_numbers, '{"a": 1e2}', [100, None, None, None, 0, 0.0]),
        (takes_either, '{"value": 3.0, "anything": 3.0}', ["float", "float"]),
        (takes_either, '{"value": 3, "anything": 3}', ["int", "int"]),
        (takes_level, '{"level": 2.0, "which": 2.0}', ["HIGH", 2]),
        (takes_constrained, '{"n": 3.0}', 3),
    ],
)
def test_whole_number_is_an_int_where_the_hint_asks(
    alice: lknb.Room, bob: lknb.Room, function: Callable[..., Any], payload: str, result: Any
) -> None:
    bob.rpc("m")(function)
    answer = alice.perform_rpc("bob", "m", payload, raw=True)
    assert answer == lknb_text(result)
    logged = bob.events.filter("rpc", "m")[-1].data
    assert lknb_text(logged) == lknb_text(pydantic.TypeAdapter(Any).validate_json(payload))


def lknb_text(value: Any) -> str:
    return pydantic.TypeAdapter(Any).dump_json(value).decode()


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ('{"a": 3.5}', "a: input should be a valid integer"),
        ('{"a": "3"}', "a: input should be a valid integer"),
        ('{"a": 3.0, "c": [1.0, 2.5]}', r"m: c\.1: input should be a valid integer$"),
        ('{"a": 1, "d": {"count": true}}', r"d\.count: input should be a valid integer"),
    ],
)
def test_fraction_is_refused_for_an_int(alice: lknb.Room, bob: lknb.Room, payload: str, problem: str) -> None:
    bob.rpc("m")(takes_numbers)
    with pytest.raises(lknb.RpcError, match=problem):
        alice.perform_rpc("bob", "m", payload, raw=True)


def takes_defaults(
    a: int = pydantic.Field(default=4, ge=1),
    b: list[int] = pydantic.Field(default_factory=list),  # noqa: B008 - as users write it
    *,
    c: Annotated[int, pydantic.Field(default=6)],
    d: Annotated[int, pydantic.Field(le=9)] = 7,
    e: int | None = pydantic.Field(None, alias="ee"),
) -> list[Any]:
    b.append(len(b))
    return [a, b, c, d, e]


def takes_positional_defaults(a: int = pydantic.Field(4), b: int = pydantic.Field(5), /, *rest: int) -> list[Any]:
    return [a, b, *rest]


def takes_a_payload(payload: int = 5) -> int:
    return payload


@pytest.mark.parametrize(
    ("function", "payload", "result"),
    [
        (takes_defaults, {}, [4, [0], 6, 7, None]),
        (takes_defaults, None, [4, [0], 6, 7, None]),
        (takes_defaults, {"a": 1, "b": [5], "c": 2, "d": 3, "ee": 8}, [1, [5, 1], 2, 3, 8]),
        (takes_positional_defaults, {}, [4, 5]),
        (takes_positional_defaults, {"b": 1}, [4, 1]),
        (takes_positional_defaults, [1, 2, 3], [1, 2, 3]),
        (takes_a_payload, None, 5),
        (takes_a_payload, 6, 6),
    ],
)
def test_field_defaults_arrive_as_values(
    alice: lknb.Room, bob: lknb.Room, function: Callable[..., Any], payload: Any, result: Any
) -> None:
    bob.rpc("m")(function)
    for _ in range(2):  # each call gets a list of its own
        assert alice.perform_rpc("bob", "m", payload) == result


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"a": 0}, "a: input should be greater than or equal to 1"),
        ({"d": 10}, "d: input should be less than or equal to 9"),
        ({"e": 1}, "e: is not one of its arguments"),
        ({"ee": "x"}, "ee: input should be a valid integer"),
    ],
)
def test_field_constraints_are_checked(alice: lknb.Room, bob: lknb.Room, payload: Any, problem: str) -> None:
    bob.rpc("m")(takes_defaults)
    with pytest.raises(lknb.RpcError, match=problem):
        alice.perform_rpc("bob", "m", payload)


def takes_a_required_field(a: int = pydantic.Field(ge=1)) -> int:
    return a


def test_field_without_default_is_required(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.rpc("m")(takes_a_required_field)
    with pytest.raises(lknb.RpcError, match="a: is missing"):
        alice.perform_rpc("bob", "m", {})
    assert alice.perform_rpc("bob", "m", 2) == 2


def takes_rich_types(
    colour: Colour, at: dt.datetime, orders: list[Order], price: decimal.Decimal, who: uuid.UUID, took: dt.timedelta
) -> list[Any]:
    return [colour, at, orders, price, who, took, type(orders[0]).__name__]


def test_hints_restore_the_types_that_were_sent(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.rpc("m")(takes_rich_types)
    payload = {
        "colour": Colour.BLUE,
        "at": pd.Timestamp("2026-01-02T03:04:05Z"),
        "orders": pd.DataFrame({"item": ["tea"], "count": [2]}),
        "price": decimal.Decimal("1.50"),
        "who": uuid.UUID(int=5),
        "took": np.timedelta64(90, "s"),
    }
    assert alice.perform_rpc("bob", "m", payload) == [
        "blue",
        "2026-01-02T03:04:05Z",
        [{"item": "tea", "count": 2, "due": None}],
        "1.50",
        "00000000-0000-0000-0000-000000000005",
        "PT1M30S",
        "Order",
    ]


def takes_quoted(orders: list["Order"]) -> int:  # noqa: UP037 - as in a notebook, without the import from __future__
    return len(orders)


def test_quoted_name_in_a_hint_is_resolved(alice: lknb.Room, bob: lknb.Room) -> None:
    takes_quoted.__annotations__["orders"] = list["Order"]
    bob.rpc("m")(takes_quoted)
    assert alice.perform_rpc("bob", "m", [{"item": "tea", "count": 1}]) == 1


@pytest.mark.parametrize("hint", ["Nowhere", types.GenericAlias(list, ("Nowhere",))])
def test_undefined_hint_is_refused_when_registering(bob: lknb.Room, hint: Any) -> None:
    def takes_nowhere(a: Any) -> None: ...

    takes_nowhere.__annotations__["a"] = hint
    with pytest.raises(TypeError, match=r"A type hint of 'm' names 'Nowhere', which is not defined"):
        bob.rpc("m")(takes_nowhere)
    assert bob.handlers == ()


def takes_typing_typed_dict(options: Options) -> int:
    return options["speed"]


def test_typed_dict_of_typing_works_or_names_typing_extensions(alice: lknb.Room, bob: lknb.Room) -> None:
    if sys.version_info >= (3, 12):
        bob.rpc("m")(takes_typing_typed_dict)
        assert alice.perform_rpc("bob", "m", {"options": {"speed": 2.0}}) == 2
    else:
        with pytest.raises(TypeError, match="from typing_extensions import TypedDict"):
            bob.rpc("m")(takes_typing_typed_dict)


def takes_caller_and_options(caller: str, **options: Any) -> list[Any]:
    return [caller, options]


def takes_caller_by_position(caller: str, /, **options: Any) -> list[Any]:
    return [caller, options]


def takes_payload_and_more(payload: int, more: int = 0, *, caller: str = "nobody") -> list[Any]:
    return [payload, more, caller]


def test_clashing_parameter_names_are_kept_apart(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.rpc("m")(takes_caller_and_options)
    assert alice.perform_rpc("bob", "m", {"payload": 1, "self": 2}) == ["alice", {"payload": 1, "self": 2}]
    for function in (takes_caller_and_options, takes_caller_by_position):
        bob.rpc("m")(function)
        with pytest.raises(lknb.RpcError, match="caller: is not one of its arguments"):
            alice.perform_rpc("bob", "m", {"caller": "mallory"})
    bob.rpc("m")(takes_payload_and_more)
    assert alice.perform_rpc("bob", "m", {"payload": 1, "more": 2}) == [1, 2, "alice"]


# The SDK's own form


async def greet(data: rtc.RpcInvocationData) -> str:
    return f"Hello, {data.caller_identity}! You sent {data.payload} to {data.method}."


def test_sdk_handler_works_as_pasted(alice: lknb.Room, bob: lknb.Room, peer: Peer) -> None:
    bob.rpc("greet")(greet)
    answer = alice.perform_rpc("bob", "greet", "a word", raw=True)
    assert answer == "Hello, alice! You sent a word to greet."
    served = eventually(lambda: bob.events.filter("rpc", "greet", status="ok"))[-1]
    assert (served.data, served.result, served.raw) == ("a word", answer, True)


def test_sdk_handler_answers_a_plain_peer(peer: Peer, join: Callable[..., lknb.Room]) -> None:
    join("bob").rpc("greet")(greet)
    answer = peer("carol").call("perform_rpc", to="bob", method="greet", payload="not JSON")
    assert answer == "Hello, carol! You sent not JSON to greet."


def test_sdk_call_object_beside_other_parameters_is_refused(bob: lknb.Room) -> None:
    def mixed(data: rtc.RpcInvocationData, a: int) -> None: ...

    with pytest.raises(TypeError, match=r"Make it the only parameter, or declare the arguments instead"):
        bob.rpc("m")(mixed)
    assert bob.handlers == ()
