"""Participants on LiveKit's JavaScript SDK, where it behaves otherwise than the one that lknb stands on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from browser.lab import chromium
from javascript import CLIENT, participant
from playwright.sync_api import Page
from waiting import eventually

import lknb
from lknb import server

Join = Callable[..., lknb.Room]


@pytest.fixture
def alice(join: Join) -> lknb.Room:
    return join("alice")


@pytest.fixture
def bob(alice: lknb.Room, livekit: server.RunningServer, tmp_path: Path) -> Iterator[Page]:
    with chromium() as browser, participant(browser, tmp_path, livekit, alice.name, "bob") as page:
        eventually(lambda: "bob" in alice.participants)
        yield page


@pytest.mark.parametrize("timeout", [0.5, 1.5])
def test_a_call_ends_at_its_timeout_though_the_handler_answers_later(
    alice: lknb.Room, bob: Page, timeout: float
) -> None:
    bob.evaluate(
        "(seconds) => room.registerRpcMethod('late',"
        " () => new Promise((resolve) => setTimeout(resolve, seconds * 1000, '1')))",
        timeout + 1,
    )
    with pytest.raises(lknb.RpcError, match=f"did not answer 'late' within {timeout:g} s"):
        alice.perform_rpc("bob", "late", timeout=timeout)
    (call,) = alice.events.filter("rpc")
    assert call.duration is not None
    assert call.duration < timeout + 1


def test_an_answer_in_time_is_received(alice: lknb.Room, bob: Page) -> None:
    bob.evaluate("() => room.registerRpcMethod('add', async ({ payload }) => String(JSON.parse(payload).a + 2))")
    assert alice.perform_rpc("bob", "add", {"a": 1}, timeout=5) == 3


@pytest.fixture
def arrow(bob: Page, tmp_path: Path) -> Page:
    """bob's page, with Apache Arrow for JavaScript."""
    shutil.copy(CLIENT.parent / "apache-arrow" / "Arrow.es2015.min.js", tmp_path)
    bob.add_script_tag(url="./Arrow.es2015.min.js")
    return bob


def test_a_table_is_read_with_apache_arrow(alice: lknb.Room, arrow: Page) -> None:
    arrow.evaluate(
        """() => {
            room.registerByteStreamHandler("results", async (reader) => {
                const chunks = await reader.readAll();
                const table = Arrow.tableFromIPC(new Uint8Array(await new Blob(chunks).arrayBuffer()));
                window.received = {
                    type: reader.info.mimeType,
                    names: table.schema.names,
                    rows: table.toArray().map((row) => JSON.parse(JSON.stringify(row.toJSON()))),
                };
            });
        }"""
    )
    alice.send_table(
        pd.DataFrame({"x": [1.5, 2.5], "name": ["a", None], "kind": pd.Categorical(["on", "off"])}),
        topic="results",
        compression=None,
    )
    received = eventually(lambda: arrow.evaluate("() => window.received"))
    assert received["type"] == "application/vnd.apache.arrow.stream"
    assert received["names"] == ["x", "name", "kind"]
    assert received["rows"] == [
        {"x": 1.5, "name": "a", "kind": "on"},
        {"x": 2.5, "name": None, "kind": "off"},
    ]


def test_samples_are_read_with_apache_arrow(alice: lknb.Room, arrow: Page) -> None:
    arrow.evaluate(
        """() => {
            window.samples = [];
            room.on("dataReceived", (payload, participant, kind, topic) => {
                if (topic !== "imu") return;
                const table = Arrow.tableFromIPC(payload);
                const number = table.schema.metadata.get("lknb.sequence");
                for (const row of table.toArray()) window.samples.push([number, row.t, row.x]);
            });
        }"""
    )
    with alice.publish_samples("imu", interval=0) as imu:
        imu.push(t=0.5, x=1.5)
        imu.push(t=[1.0, 1.5], x=[2.5, 3.5])
    eventually(lambda: len(arrow.evaluate("() => window.samples")) == 3)
    assert arrow.evaluate("() => window.samples") == [["0", 0.5, 1.5], ["1", 1.0, 2.5], ["1", 1.5, 3.5]]


def test_samples_of_a_page_are_read(alice: lknb.Room, bob: Page) -> None:
    live = alice.samples("pose")
    bob.evaluate(
        """() => room.localParticipant.publishData(
            new TextEncoder().encode(JSON.stringify([{ x: 1, on: true }, { x: 2.5, on: false }])), { topic: "pose" })"""
    )
    live.wait(2)
    assert live.latest == {"x": 2.5, "on": False, "sender": "bob"}


def test_what_a_page_does_is_recorded(alice: lknb.Room, bob: Page, tmp_path: Path) -> None:
    alice.rpc("double")(lambda value: 2 * value)
    path = tmp_path / "page.mcap"
    with alice.record(path):
        bob.evaluate(
            """async () => {
                const me = room.localParticipant;
                await me.sendText("hello", { topic: "chat", attributes: { mood: "glad" } });
                await me.publishData(new TextEncoder().encode('{"x": 1.5}'), { reliable: true, topic: "position" });
                await me.sendFile(new File(["a,b"], "table.csv", { type: "text/csv" }), { topic: "files" });
                await me.performRpc({ destinationIdentity: "alice", method: "double", payload: '{"value": 21}' });
                await me.setAttributes({ status: "ready" });
            }"""
        )
        eventually(lambda: alice.events.filter("attributes") and alice.events.filter("bytes", status="ok"))
        eventually(lambda: alice.events.filter("text", status="ok") and alice.events.filter("data"))
    run = lknb.open_recording(path)
    (text,), (packet,), (call,) = (run.filter(kind) for kind in ("text", "data", "rpc"))
    assert (text.data, text.attributes, text.sender) == ("hello", {"mood": "glad"}, "bob")
    assert packet.data == b'{"x": 1.5}'
    assert (call.data, call.result) == ({"value": 21}, 42)
    (file,) = run.filter("bytes")
    assert (file.data.data, file.data.name, file.data.mime_type) == (b"a,b", "table.csv", "text/csv")
    assert run.state_at(run.duration).participants["bob"].attributes["status"] == "ready"
