"""Tables show content from a room as data: escaped, on one line, without control characters."""

from __future__ import annotations

import datetime as dt
from html.parser import HTMLParser
from types import MappingProxyType

import pytest

from lknb.event import Event
from lknb.events import EventLog, Events
from lknb.participants import Participant, Participants
from lknb.tables import Table, plain

EVIL = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "\"' onmouseover=alert(1) x='",
    "</td></table><h1>",
    "&lt;b&gt;",
    "\x1b[31mred\x1b]0;title\x07",
    "abc\u202edef\u2066",
    "a\r\nb\tc\x00\u2028\u200b",
    "]]><!--",
]
ALLOWED = {"div", "table", "thead", "tbody", "tr", "th", "td", "p", "em"}


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def check(shown: object) -> Reader:
    """Check that the HTML has only a table's markup and that neither form has control characters."""
    reader = Reader()
    html = shown._repr_html_()  # type: ignore[attr-defined]
    reader.feed(html)
    assert reader.tags <= ALLOWED
    assert reader.attributes <= {"scope", "style", "class"}
    assert html.isprintable()
    assert all(line.isprintable() for line in repr(shown).split("\n"))
    return reader


def someone(text: str) -> Participant:
    return Participant(
        identity=text,
        name=text,
        metadata=text,
        attributes=MappingProxyType({text: text}),
        kind="standard",
        state="active",
        joined_at=None,
        quality="good",
        permissions=MappingProxyType({}),
        data_tracks=(text,),
        is_local=False,
        sid="PA_1",
    )


@pytest.mark.parametrize("evil", EVIL)
def test_participants_show_hostile_text_as_text(evil: str) -> None:
    everybody = Participants()
    everybody.replace({evil: someone(evil)})
    assert plain(evil) in check(everybody).text


@pytest.mark.parametrize("evil", EVIL)
def test_events_show_hostile_text_as_text(evil: str) -> None:
    events = Events(
        [
            Event("text", "in", sender=evil, to=(evil,), topic=evil, data=evil, error=evil, status="failed"),
            Event("data", "in", sender=evil, topic=evil, data=evil.encode(errors="surrogatepass")),
            Event("data", "in", topic=evil, data=b"\xff\xfe" + evil.encode()),
            Event("attributes", "in", sender=evil, data={evil: evil}),
            Event("rpc", "in", sender=evil, topic=evil, data={"a": [evil]}),
        ]
    )
    assert plain(evil) in check(events).text


@pytest.mark.parametrize("evil", EVIL)
def test_tables_show_hostile_text_as_text(evil: str) -> None:
    assert plain(evil) in check(Table((plain(evil),), [(evil,)], note=plain(evil))).text
    check(Table(("a",), [], empty=plain(evil)))


def test_long_log_shows_newest_events_and_says_so() -> None:
    log = EventLog()
    for number in range(60):
        log.add(Event("text", "in", topic="t", data=f"number {number}."))
    html = log._repr_html_()
    assert "number 59." in html
    assert "number 10." in html
    assert "number 9." not in html
    assert "The newest 50 of 60" in html
    assert "The newest" not in log[-3:]._repr_html_()


def test_empty_log_and_empty_room_say_so() -> None:
    assert "No events" in Events()._repr_html_()
    assert "No participants" in Participants()._repr_html_()


def test_table_is_sequence_of_rows() -> None:
    table = Table(("a", "b"), [(1, 2), [3, 4]], note="so far")
    assert len(table) == 2
    assert list(table) == [(1, 2), (3, 4)]
    assert table[-1] == (3, 4)
    assert dict(table) == {1: 2, 3: 4}
    assert repr(table).splitlines() == ["a  b", "-  -", "1  2", "3  4", "so far"]


def test_values_are_short_and_readable() -> None:
    assert plain(None) == ""
    assert plain(1.5) == "1.5"
    assert plain(dt.datetime(2026, 1, 2, 3, 4, 5, 678).astimezone()) == "2026-01-02 03:04:05"
    assert len(plain("x" * 1_000_000)) == 60
    assert plain("one\nline\twith \N{ZERO WIDTH SPACE}") == r"one line with \u200b"


def test_table_uses_page_colours() -> None:
    html = Table(("a",), [(1,)])._repr_html_()
    assert "color" not in html
    assert "background" not in html


def test_mathematics_in_texts_is_not_typeset() -> None:
    rows = [("costs $5 and then $6", r"$\\rule{3000px}{3000px}$")]
    for table in (Table(("$a$", "b"), rows, note="$x$"), Table(("a",), [], empty="$x$")):
        html = table._repr_html_()
        assert html.startswith('<div class="mathjax_ignore tex2jax_ignore">')
        assert html.endswith("</div>")
        assert "\n" not in html, "a blank line would end HTML in Markdown"


def test_blocks_have_the_headings_the_rows_and_the_note_as_plain_text() -> None:
    table = Table(("who", "what"), [("alice", "a\r\nb\x1b[31m"), ("bob", None)], note="Two of 3.")
    cells, note = table.blocks()
    assert cells == [["who", "what"], ["alice", plain("a\r\nb\x1b[31m")], ["bob", ""]]
    assert note == "Two of 3."
    assert Table(("who",), [], empty="Nobody.").blocks() == ["Nobody."]
