"""Checks for text-streams.ipynb. An examiner joins bob's room, sends him texts, and checks his answers."""

from __future__ import annotations

import contextlib

import lknb
from exercises import PATIENCE, Answers, Served, Verdict, check, not_yet, open_room, right, shown, variable, why_silent


@check
def check_1() -> Verdict:
    """Check for capitals, on the same topic, as a reply, and only to the sender."""
    bob = open_room("bob")
    with lknb.connect(bob.name, "examiner") as examiner, lknb.connect(bob.name, "bystander"):
        answers = Answers(examiner, bob, "text", "shout")
        for text in ("good evening", "Mind the gap"):
            asked = examiner.send_text(text, topic="shout", to="bob")
            answer = answers.next()
            if answer is None:
                return not_yet(
                    f"nothing came back for {shown(text)} within {PATIENCE:g} s. {why_silent(bob, 'text', 'shout')}"
                )
            if answer.data != text.upper():
                return not_yet(
                    f"bob answered {shown(text)} with {shown(answer.data)} instead of {shown(text.upper())}."
                )
            if answer.topic != "shout":
                return not_yet(
                    f"the text is right, but its topic is {shown(answer.topic)}. Without `topic=` a text goes to "
                    "`lk.chat`; give it the topic `shout`."
                )
            if answer.reply_to != asked.id:
                return not_yet(
                    "the text is right, but it is not a reply. Declare `event` in the handler, and send "
                    "with `reply_to=event`."
                )
        if _overheard(answers, "shout"):
            return not_yet("everybody in the room got the answer. `to=sender` sends it only to the sender.")
        if (more := answers.within(0.1)) is not None:
            return not_yet(f"the answers are right, but one more followed: {shown(more.data)}.")
    return right("two texts came back in capitals, as replies, and a bystander received neither.")


@check
def check_2() -> Verdict:
    """Check for one answer while the text is being written, and for its length after the end."""
    bob = open_room("bob")
    with lknb.connect(bob.name, "examiner") as examiner, lknb.connect(bob.name, "bystander"):
        answers = Answers(examiner, bob, "text", "essay")
        pieces = ("It was a late ", "and müßig ", "evening.")
        with examiner.stream_text(topic="essay", to="bob") as essay:
            essay.write(pieces[0])
            first = answers.next()
            for piece in pieces[1:]:
                essay.write(piece)
        if first is None:
            late = answers.next()
            if late is None:
                return not_yet(f"nothing came back. {why_silent(bob, 'text', 'essay')}")
            how = (
                "Send it before the loop over the pieces."
                if any(each.streams for each in bob.handlers if each.topic == "essay")
                else "With `stream=True`, a handler is called when the stream begins, and its `data` yields the pieces."
            )
            return not_yet(
                f"bob sent nothing while the text was being written, and {shown(late.data)} after its end. {how}"
            )
        if first.data != "reading":
            return not_yet(f"while the text was being written, bob sent {shown(first.data)} instead of `'reading'`.")
        if first.topic != "essay":
            return not_yet(f"`'reading'` arrived in time, but its topic is {shown(first.topic)}, not `essay`.")
        last = answers.next()
        length = len("".join(pieces))
        if last is None:
            return not_yet(
                f"`'reading'` arrived in time, but nothing followed after the end. {why_silent(bob, 'text', 'essay')}"
            )
        if last.data != str(length) or last.topic != "essay":
            return not_yet(
                f"after the end, bob sent {shown(last.data)} instead of {shown(str(length))}. {_hint(last, pieces)}"
            )
        if _overheard(answers, "essay"):
            return not_yet("everybody in the room got the answers. `to=sender` sends them only to the sender.")
    return right(f"`'reading'` arrived before the text ended, and {length} is its number of characters.")


def _overheard(answers: Answers, topic: str) -> bool:
    """Return whether bob sent an answer to others, too, according to his own log, which needs no waiting."""
    return any(not each.to or "bystander" in each.to for each in answers.answered(topic))


def _hint(last: lknb.Event, pieces: tuple[str, ...]) -> str:
    text = "".join(pieces)
    return {
        "reading": "Send it only once, before the loop over the pieces.",
        str(len(pieces)): "That is the number of pieces; add up the `len` of each.",
        str(len(text.encode())): "That is the number of bytes, and some characters take two.",
        str(len(pieces[0])): "That is the length of the first piece; add up all of them, and answer after the loop.",
        str(len(text)): f"Its topic is {shown(last.topic)}; it must be `essay`.",
    }.get(str(last.data), "Add up the `len` of each piece, and send it as a str after the loop.")


@check
def check_3() -> Verdict:
    """Check that a complete text and one that breaks off are both in `notes`."""
    bob = open_room("bob")
    notes = variable("notes")
    if not isinstance(notes, list):
        return not_yet(f"`notes` is {shown(notes)}; it must be a list.")
    before = len(notes)
    with lknb.connect(bob.name, "examiner") as examiner:
        served = Served(examiner, bob, "text", "dictation")
        with examiner.stream_text(topic="dictation", to="bob") as out:
            for word in ("one ", "two ", "three"):
                out.write(word)
        if not served.wait(lambda: len(notes) > before):
            return not_yet(
                "a text of three pieces was sent, but nothing was added to `notes`. "
                f"{why_silent(bob, 'text', 'dictation', 'append the text to `notes`')}"
            )
        served.rest()
        if notes[before] != "one two three":
            return not_yet(
                f"the text was `'one two three'`, but the entry is {shown(notes[before])}. One text is one entry: "
                '`"".join(pieces)`.'
            )
        if len(notes) > before + 1:
            return not_yet(f"one text became {len(notes) - before} entries: {shown(notes[before:])}.")
        with contextlib.suppress(_BreaksOffError), examiner.stream_text(topic="dictation", to="bob") as out:
            out.write("four ")
            out.write("five")
            raise _BreaksOffError
        if not served.wait(lambda: len(notes) > before + 1):
            return not_yet(
                "the complete text is in `notes`, but the one that broke off is not. The loop over the pieces then "
                "raises `lknb.StreamError`: catch it, and keep the pieces that arrived."
            )
        if notes[before + 1] != "four five [broken off]":
            return not_yet(
                f"`'four five'` arrived, then the stream broke off, but the entry is {shown(notes[before + 1])}. "
                "It must be `'four five [broken off]'`."
            )
    return right("the complete text is one entry, and so is the part of the broken text that arrived.")


class _BreaksOffError(Exception):
    """Ends a stream in the middle."""
