"""`room.link`: keeps a widget's trait and an attribute equal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import pytest
import traitlets
from peers import PlainPeer
from shells import Shell, a_shell
from waiting import eventually, remains, slow_work

import lknb
from lknb import server
from lknb.loop import LOOP

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]


def attribute(room: lknb.Room, identity: str, key: str = "speed") -> str | None:
    who = room.participants.get(identity)
    return who.attributes.get(key) if who else None


def printed(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Wait until `text` is on stderr: a link sets its error a moment before it prints it."""
    so_far = ""

    def there() -> bool:
        nonlocal so_far
        so_far += capsys.readouterr().err
        return text in so_far

    eventually(there)


def test_slider_moves_display_in_another_notebook(alice: lknb.Room, bob: lknb.Room) -> None:
    slider, shown = ipywidgets.IntSlider(value=3), ipywidgets.IntProgress()
    alice.link(slider, "speed")
    link = bob.link(shown, "speed", of="alice")
    eventually(lambda: shown.value == 3)
    slider.value = 42
    eventually(lambda: shown.value == 42)
    assert attribute(bob, "alice") == "42"
    assert "equal" in repr(link)


def test_plain_peer_sees_slider(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("wait_participant", identity="alice")
    slider = ipywidgets.FloatSlider(value=0.5)
    alice.link(slider, "speed")
    plain.wait("attributes", identity="alice", changed={"speed": "0.5"})
    slider.value = 1.5
    plain.wait("attributes", identity="alice", changed={"speed": "1.5"})


def test_plain_peer_moves_display(alice: lknb.Room, peer: Peers) -> None:
    plain, shown = peer(), ipywidgets.FloatSlider()
    alice.link(shown, "speed", of="peer")
    plain.call("set_attributes", attributes={"speed": "7"})
    eventually(lambda: shown.value == 7.0)


def test_own_attribute_moves_slider(alice: lknb.Room) -> None:
    slider = ipywidgets.IntSlider(value=3)
    alice.link(slider, "speed")
    eventually(lambda: alice.attributes.get("speed") == "3")
    alice.attributes["speed"] = "60"
    eventually(lambda: slider.value == 60)
    assert alice.attributes["speed"] == "60"


def test_existing_attribute_wins_over_widget(alice: lknb.Room) -> None:
    alice.attributes["speed"] = "60"
    slider = ipywidgets.IntSlider(value=3)
    alice.link(slider, "speed")
    assert slider.value == 60
    assert alice.attributes["speed"] == "60"


def test_many_changes_become_few_writes_ending_with_last(alice: lknb.Room, bob: lknb.Room) -> None:
    slider, shown = ipywidgets.IntSlider(max=1000), ipywidgets.IntSlider(max=1000)
    alice.link(slider, "speed")
    bob.link(shown, "speed", of="alice")
    begun = time.monotonic()
    for value in range(1, 301):
        slider.value = value
        slow_work(0.003)  # as fast as a user drags
    eventually(lambda: shown.value == 300)
    writes = len(bob.events.filter("attributes", sender="alice"))
    assert 2 <= writes <= 5 * (time.monotonic() - begun) + 2
    assert slider.value == 300


def test_changes_from_both_sides_settle(alice: lknb.Room) -> None:
    slider = ipywidgets.IntSlider(value=1)
    alice.link(slider, "speed")
    eventually(lambda: alice.attributes.get("speed") == "1")
    for value in range(2, 12):
        slider.value = value
        alice.attributes["speed"] = str(value + 50)
    eventually(lambda: alice.attributes["speed"] == str(slider.value))
    rest = len(alice.events.filter("attributes"))
    remains(
        lambda: len(alice.events.filter("attributes")) <= rest + 1, 0.7
    )  # a loop would make three writes in this time
    assert alice.attributes["speed"] == str(slider.value)


@pytest.mark.parametrize(
    ("widget", "first", "text", "second", "other_text"),
    [
        (ipywidgets.FloatText, 1.5, "1.5", 2.0, "2"),
        (ipywidgets.Checkbox, True, "true", False, "false"),
        (ipywidgets.Text, '"5" & 6', '"5" & 6', "", ""),
        (ipywidgets.IntRangeSlider, (10, 20), "[10, 20]", (30, 40), "[30,40]"),
        (lambda: ipywidgets.Dropdown(options=["slow", "1", 1]), "1", '"1"', "slow", "slow"),
        (lambda: ipywidgets.SelectMultiple(options=["a", "b"]), ("a", "b"), '["a", "b"]', ("b",), '["b"]'),
    ],
    ids=["float", "bool", "str", "range", "choice", "choices"],
)
def test_values_are_encoded_as_attributes(
    alice: lknb.Room, widget: Callable[[], Any], first: Any, text: str, second: Any, other_text: str
) -> None:
    control = widget()
    control.value = first
    alice.link(control, "speed")
    eventually(lambda: alice.attributes.get("speed") == text)
    alice.local_participant.set_attributes({"speed": other_text})
    eventually(lambda: control.value == second)
    assert alice.attributes.get("speed", "") == other_text


def test_dict_in_other_trait_can_be_linked(alice: lknb.Room) -> None:
    class Robot(traitlets.HasTraits):
        pose: Any = traitlets.Dict({"x": 1})

    robot = Robot()
    alice.link(robot, "pose", trait="pose")
    eventually(lambda: alice.attributes.get("pose") == '{"x": 1}')
    robot.pose = {"x": 2, "name": "Grüße"}
    eventually(lambda: alice.attributes["pose"] == '{"x": 2, "name": "Grüße"}')


@pytest.mark.parametrize("text", ["fast", "1.5", "true", "101", "[1]", "1e400", "NaN", "9" * 5000, "[" * 5000])
def test_value_refused_by_trait_is_reported_and_ignored(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    shown = ipywidgets.IntSlider(value=5)
    link = alice.link(shown, "speed", of="bob")
    bob.attributes["speed"] = text
    error = eventually(lambda: link.error)
    assert error.endswith("The widget keeps 5")
    assert "'bob'" in error
    assert len(error) < 700
    printed(capsys, error)
    assert shown.value == 5
    bob.attributes["speed"] = "6"
    eventually(lambda: shown.value == 6)
    assert link.error is None


def test_refused_values_are_reported_once_per_second_and_counted(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    alice.link(ipywidgets.IntSlider(), "speed", of="bob")
    for number in range(8):
        bob.attributes["speed"] = f"\x1b[31m{number}"
        eventually(lambda number=number: attribute(alice, "bob") == f"\x1b[31m{number}")
    chunks: list[str] = []

    def printed_so_far() -> str:
        chunks.append(capsys.readouterr().err)
        return "".join(chunks)

    eventually(lambda: "not shown" in printed_so_far() or printed_so_far().count("was not applied") >= 8)
    assert "\x1b" not in printed_so_far()
    assert printed_so_far().count("was not applied") <= 2 + (time.monotonic() - begun)


def test_followed_participant_can_join_later_and_return(alice: lknb.Room, join: Join) -> None:
    shown = ipywidgets.IntSlider()
    link = alice.link(shown, "speed", of="bob")
    assert "waiting for 'bob' to join" in repr(link)
    bob = join("bob", attributes={"speed": "5"})
    eventually(lambda: shown.value == 5)
    bob.close()
    eventually(lambda: "bob" not in alice.participants)
    assert shown.value == 5
    bob = join("bob", attributes={"speed": "8"})
    eventually(lambda: shown.value == 8)


def test_deleted_attribute_clears_text_and_keeps_numbers(alice: lknb.Room, bob: lknb.Room) -> None:
    label, slider = ipywidgets.Label("nothing"), ipywidgets.IntSlider()
    alice.link(label, "note", of="bob")
    alice.link(slider, "speed", of="bob")
    bob.local_participant.set_attributes({"note": "hello", "speed": "5"})
    eventually(lambda: (label.value, slider.value) == ("hello", 5))
    bob.local_participant.set_attributes({"note": "", "speed": ""})
    eventually(lambda: label.value == "")
    assert slider.value == 5


def test_following_writes_nothing(alice: lknb.Room, bob: lknb.Room) -> None:
    slider = ipywidgets.IntSlider()
    alice.link(slider, "speed", of="bob")
    slider.value = 9
    bob.attributes["speed"] = "5"
    eventually(lambda: slider.value == 5)
    assert "speed" not in alice.attributes


def test_unlink_ends_link(alice: lknb.Room) -> None:
    slider = ipywidgets.IntSlider(value=1)
    link = alice.link(slider, "speed")
    slider.value = 2
    link.unlink()
    eventually(lambda: alice.attributes.get("speed") == "2")  # a write in progress still arrives
    slider.value = 3
    alice.attributes["speed"] = "50"
    assert (slider.value, alice.attributes["speed"]) == (3, "50")
    assert "ended" in repr(link)
    link.unlink()


def test_link_ends_with_widget_or_room(alice: lknb.Room) -> None:
    sliders = ipywidgets.IntSlider(), ipywidgets.IntSlider()
    first, second = (alice.link(slider, key) for slider, key in zip(sliders, ("a", "b"), strict=True))
    sliders[0].close()
    assert (first.active, second.active) == (False, True)
    alice.close()
    assert not second.active
    sliders[1].value = 4
    with pytest.raises(lknb.NotConnectedError):
        alice.link(ipywidgets.IntSlider(), "a")


@pytest.fixture
def shell() -> Iterator[Shell]:
    with a_shell() as shell:
        yield shell


def test_rerunning_cell_ends_its_links(alice: lknb.Room, shell: Shell) -> None:
    slider = ipywidgets.IntSlider()
    shell.user_ns |= {"room": alice, "slider": slider}
    first = shell.cell("room.link(slider, 'speed')", "a")
    second = shell.cell("room.link(slider, 'other')", "b")
    again = shell.cell("room.link(slider, 'speed')", "a")
    assert (first.active, second.active, again.active) == (False, True, True)
    shell.cell("1 + 1", "b")
    assert not second.active


def test_linking_same_pair_again_keeps_one_link(alice: lknb.Room) -> None:
    slider = ipywidgets.IntSlider()
    first, second = alice.link(slider, "speed"), alice.link(slider, "speed")
    assert (first.active, second.active) == (False, True)


def test_link_without_grant_is_refused_immediately(
    join: Join, token: Callable[..., str], livekit: server.RunningServer
) -> None:
    dave = join("dave", token=token("dave", can_update_own_metadata=False), url=livekit.url)
    with pytest.raises(lknb.PermissionDeniedError, match="canUpdateOwnMetadata"):
        dave.link(ipywidgets.IntSlider(), "speed")
    dave.link(ipywidgets.IntSlider(), "speed", of="alice")


def test_value_that_the_server_rejects_is_reported(alice: lknb.Room, capsys: pytest.CaptureFixture[str]) -> None:
    text = ipywidgets.Textarea(value="short")
    link = alice.link(text, "note")
    text.value = "x" * 70_000
    error = eventually(lambda: link.error)
    assert "the limit is 65,536" in error
    assert len(error) < 700
    printed(capsys, error)
    assert len(text.value) == 70_000
    text.value = "short again"
    # The attribute changes before the link learns that its write succeeded.
    eventually(lambda: link.error is None and alice.attributes.get("note") == "short again")


@pytest.mark.slow("waits for a full reconnect")
def test_newest_value_is_written_after_a_reconnect(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("wait_participant", identity="alice")
    slider = ipywidgets.IntSlider(value=1)
    alice.link(slider, "speed")
    plain.wait("attributes", identity="alice", changed={"speed": "1"})
    LOOP.run(simulate(alice, "full_reconnect"), "simulate")
    for value in range(2, 40):
        slider.value = value
        slow_work(0.05)  # a user drags while the room reconnects
    eventually(lambda: alice.state == "connected")
    # While alice rejoins, she is briefly absent.
    eventually(
        lambda: plain.call("participants").get("alice", {}).get("attributes", {}).get("speed") == "39", within=30
    )


async def simulate(room: lknb.Room, scenario: str) -> None:
    from livekit import rtc

    kind = rtc.SimulateScenarioKind.Value(f"SIMULATE_{scenario.upper()}")
    await room._connection.sdk.simulate_scenario(kind)


def test_observer_of_widget_can_block(alice: lknb.Room, bob: lknb.Room) -> None:
    shown = ipywidgets.IntSlider()
    texts = alice.listen("text")
    shown.observe(lambda change: bob.send_text(str(change["new"])), "value")
    bob.link(shown, "speed", of="alice")
    alice.attributes["speed"] = "5"
    assert texts.next().data == "5"


class Unlike:
    """A value that can neither be compared nor shown nor written."""

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("no comparing")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("bad", ["half \ud83d", Unlike(), [Unlike()], {1: object()}, float("nan"), "x" * 70_000])
def test_a_link_survives_a_value_that_cannot_be_written(
    alice: lknb.Room, capsys: pytest.CaptureFixture[str], bad: Any
) -> None:
    class Holder(traitlets.HasTraits):
        value = traitlets.Any("first")

    holder = Holder()
    link = alice.link(holder, "speed")
    eventually(lambda: attribute(alice, "alice") == "first")
    holder.value = bad
    printed(capsys, "was not written")
    assert "was not written" in repr(link)
    holder.value = "good"
    eventually(lambda: attribute(alice, "alice") == "good")
    eventually(lambda: "equal" in repr(link))


def test_a_link_survives_a_trait_that_fails_to_check_a_value(alice: lknb.Room, peer: Peers) -> None:
    class Picky(traitlets.Int):  # type: ignore[type-arg]
        def validate(self, obj: Any, value: Any) -> Any:
            return {"1": 1, 1: 1, 2: 2}[value]  # KeyError for everything else

    class Holder(traitlets.HasTraits):
        value = Picky(1)

    plain, holder = peer(), Holder()
    link = alice.link(holder, "speed", of="peer")
    plain.call("set_attributes", attributes={"speed": "7"})
    eventually(lambda: "was not applied" in repr(link))
    plain.call("set_attributes", attributes={"speed": "2"})
    eventually(lambda: holder.value == 2)


def test_link_rejects_invalid_arguments(alice: lknb.Room) -> None:
    slider = ipywidgets.IntSlider()
    with pytest.raises(ValueError, match="no trait 'valeu'; did you mean 'value'"):
        alice.link(slider, "speed", trait="valeu")
    with pytest.raises(TypeError, match="not a int"):
        alice.link(5, "speed")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="attribute must be"):
        alice.link(slider, "")
    with pytest.raises(TypeError, match=r"of must be an identity .* not Room. Pass its .identity"):
        alice.link(slider, "speed", of=alice)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="what JSON can"):
        alice.link(ipywidgets.Image(value=b"png"), "image")
