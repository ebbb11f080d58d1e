"""Further settings of the embedded server, from a file or a mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lknb
from lknb import server
from lknb.errors import ServerError
from lknb.server import livekit_config


@pytest.fixture(autouse=True)
def _stopped(own_server: Path) -> Iterator[None]:
    yield
    server.stop()


def effective(state: Path) -> dict[str, Any]:
    """Return the configuration that the server was started with."""
    (file,) = [each for each in state.iterdir() if each.name.startswith("livekit")]
    found = json.loads(file.read_text())
    assert isinstance(found, dict)
    return found


def test_settings_of_a_file_are_used(own_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "livekit.yaml"
    file.write_text("room:\n  max_participants: 1\nrtc:\n  pli_throttle:\n    low_quality: 600ms\n")
    monkeypatch.setenv("LKNB_SERVER_CONFIG", str(file))
    running = server.ensure()
    assert running.config == str(file)
    found = effective(own_server)
    assert found["room"] == {"max_participants": 1}
    assert found["bind_addresses"] == ["127.0.0.1"]
    assert (found["rtc"]["node_ip"], found["rtc"]["pli_throttle"]) == ("127.0.0.1", {"low_quality": "600ms"})
    with (
        lknb.connect("one", "alice"),
        pytest.raises(lknb.ConnectError, match=r"full|limit|max"),
    ):
        lknb.connect("one", "bob")


def test_settings_of_a_mapping_are_used(own_server: Path) -> None:
    running = server.ensure(config={"room": {"empty_timeout": 5}})
    assert running.config == "the settings passed as config="
    assert effective(own_server)["room"] == {"empty_timeout": 5}
    assert effective(own_server)["enable_participant_data_blob"] is True


def test_webhooks_are_signed_with_the_servers_key(own_server: Path) -> None:
    running = server.ensure(config={"webhook": {"urls": ["http://127.0.0.1:9/hook"]}})
    assert effective(own_server)["webhook"] == {"urls": ["http://127.0.0.1:9/hook"], "api_key": running.api_key}


def test_other_settings_start_the_server_again_if_nobody_uses_it(own_server: Path) -> None:
    first = server.ensure()
    second = server.ensure(config={"room": {"empty_timeout": 5}})
    assert second.pid != first.pid
    assert server.ensure(config={"room": {"empty_timeout": 5}}).pid == second.pid
    assert server.ensure().pid == second.pid  # whoever needs no settings takes it as it is


def test_server_in_use_keeps_its_settings(own_server: Path) -> None:
    with (
        lknb.connect("used", "alice"),
        pytest.raises(ServerError, match=r"runs with no further settings, and 1 participant uses it\. Close the rooms"),
    ):
        server.ensure(config={"room": {"empty_timeout": 5}})


OWN = [
    ({"port": 1}, "port"),
    ({"bind_addresses": ["0.0.0.0"]}, "bind_addresses"),
    ({"keys": {"a": "b"}}, "keys"),
    ({"logging": {"level": "debug"}}, "logging"),
    ({"rtc": {"node_ip": "1.2.3.4", "tcp_port": 7881}}, "rtc.tcp_port, rtc.node_ip"),
    ({"turn": {"enabled": True}}, "turn"),
    ({"prometheus_port": 6789}, "prometheus_port"),
]


@pytest.mark.parametrize(("config", "names"), OWN)
def test_what_lknb_sets_cannot_be_set(config: dict[str, Any], names: str) -> None:
    with pytest.raises(ServerError, match=f"sets {names}, which lknb sets itself"):
        server.ensure(config=config)


BROKEN = {
    "missing": (None, "cannot be read: No such file"),
    "not YAML": ("room: [", "is not valid YAML"),
    "a list": ("- 1\n", "must have settings of livekit-server"),
    "a tag": ("room: !!python/object/apply:os.system [ls]\n", "is not valid YAML"),
    "bytes": ("\x00", "is not valid YAML"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_files_that_cannot_be_used_are_errors(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "livekit.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ServerError, match=message):
        server.ensure(config=file)


def test_empty_file_is_no_settings(tmp_path: Path) -> None:
    file = tmp_path / "livekit.yaml"
    file.write_text("# nothing yet\n")
    assert livekit_config.further(file) == ({}, str(file))
    assert livekit_config.digest({}) == ""


def test_what_livekit_server_refuses_is_shown(own_server: Path) -> None:
    with pytest.raises(ServerError, match=r"no_such_setting(.|\n)*Check the settings in"):
        server.ensure(config={"no_such_setting": 1})


def test_magic_names_the_file(shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "livekit.yaml"
    file.write_text("room:\n  empty_timeout: 5\n")
    monkeypatch.setenv("LKNB_SERVER_CONFIG", str(file))
    shell.cell("%load_ext lknb")
    assert f"settings  {str(file)[:20]}" in repr(shell.cell("%lk server start"))
