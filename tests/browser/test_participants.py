"""Participants and their state in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, expect
from waiting import eventually

import lknb
from browser.lab import Notebook
from lknb import server

NASTY = '<img src=x onerror="document.title=1">\u202e'


def unfold(shown: Locator) -> None:
    """Open the boxes of this participant's own state and of the room's metadata."""
    for summary in ("Your name, attributes and metadata", "Metadata of the room, visible to everybody"):
        shown.locator("summary", has_text=summary).click()


def test_participants_and_their_changes_are_shown(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    book = notebook(f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')", 'room.panel("participants")')
    book.run()
    shown = book.output(1)
    expect(shown.get_by_text("Nobody else is here.")).to_be_visible()
    bob = join("bob", attributes={"mood": "fine", NASTY: NASTY}, metadata='{"role": "guide"}')
    person = shown.locator(".lknb-person", has_text="bob")
    expect(shown).to_contain_text("Everybody may publish data, subscribe, change own state, unless stated otherwise.")
    expect(person).not_to_contain_text("may")
    expect(person).to_contain_text('role: "guide"')
    expect(person).to_contain_text('<img src=x onerror="document.title=1">\\u202e')
    bob.attributes["mood"] = "curious"
    line = person.locator("dl > div", has_text="mood")
    expect(line).to_have_text(re.compile(r"^moodcurious\s*changed \d\d:\d\d:\d\d$"))
    expect(line).to_have_class(re.compile("lknb-changed"))
    bob.close()
    expect(person).to_contain_text("left at")


def test_own_state_is_edited(notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str) -> None:
    bob = join("bob")
    book = notebook(f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')", 'room.panel("participants")', "room")
    book.run(0, 1)
    shown = book.output(1)

    def alices() -> dict[str, str]:
        who = bob.participants.get("alice")
        return dict(who.attributes) if who else {}

    unfold(shown)
    shown.get_by_label("Key of a new attribute").fill("mood")
    shown.get_by_label("Value of a new attribute").fill("fine")
    shown.get_by_label("Value of a new attribute").press("Enter")
    expect(shown.get_by_text("mood: confirmed by the server")).to_be_visible()
    eventually(lambda: alices() == {"mood": "fine"})
    field = shown.get_by_label("Attribute mood", exact=True)
    form = shown.locator("form", has=book.page.get_by_label("Attribute mood", exact=True))
    field.fill("curious")
    field.press("Enter")
    expect(form.get_by_text("Confirmed by the server")).to_be_visible()
    eventually(lambda: alices() == {"mood": "curious"})

    # The attribute changes in the room while the user types.
    field.press_sequentially(" and")
    book.set_cell(2, "room.attributes['mood'] = 'tired'")
    book.run(2)
    expect(form.get_by_text("The room's text is now: tired")).to_be_visible()
    expect(field).to_have_value("curious and")
    form.get_by_role("button", name="Undo").click()
    expect(field).to_have_value("tired")

    form.get_by_role("button", name="Delete").click()
    expect(shown.get_by_text("mood: deleted, confirmed by the server")).to_be_visible()
    expect(field).to_have_count(0)
    eventually(lambda: alices() == {})

    name = shown.get_by_label("Your name", exact=True)
    name.fill("x" * 300)
    shown.get_by_role("button", name="Set: Your name").click()
    expect(shown.get_by_text("the limit is 256")).to_be_visible()
    metadata = shown.get_by_label("Metadata of the room", exact=True)
    metadata.fill('{"phase": 2}')
    metadata.press("Control+Enter")
    eventually(lambda: bob.metadata == '{"phase": 2}')
    form = shown.locator("form", has=book.page.get_by_label("Metadata of the room", exact=True))
    expect(form.get_by_text("Confirmed by the server")).to_be_visible()
    expect(name).to_have_value("x" * 300)  # the rejected text can still be corrected
    expect(book.page.get_by_text("[2]:", exact=True)).to_be_visible()  # the key has not run the cell


def test_missing_grants_are_shown_before_editing(
    notebook: Callable[..., Notebook], token: Callable[..., str], livekit: server.RunningServer, room_name: str
) -> None:
    limited = token("dave", can_update_own_metadata=False)
    book = notebook(
        f"import lknb\nroom = lknb.connect({room_name!r}, url={livekit.url!r}, token={limited!r})",
        'room.panel("participants")',
    )
    book.run()
    shown = book.output(1)
    expect(shown.locator(".lknb-person", has_text="dave")).to_contain_text("may not change own state")
    unfold(shown)
    expect(shown.get_by_text("needs the grant 'canUpdateOwnMetadata'").first).to_be_visible()
    expect(shown.get_by_role("button", name="Add")).to_be_disabled()
    expect(shown.get_by_label("Your name", exact=True)).not_to_be_editable()
    expect(shown.get_by_text("needs the grant 'roomAdmin'").first).to_be_visible()
    expect(shown.get_by_label("Metadata of the room", exact=True)).not_to_be_editable()
