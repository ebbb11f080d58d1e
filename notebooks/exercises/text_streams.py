"""The checks of text-streams.ipynb: an examiner joins bob's room, writes to him, and looks at what comes back."""

from __future__ import annotations

import contextlib

import lknb
from exercises import PATIENCE, Answers, Served, Verdict, check, not_yet, open_room, right, shown, variable, why_silent


@check
def check_1() -> Verdict:
    """Capitals, on the same topic, as a reply, and to nobody else."""
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
                return not_yet(f"for {shown(text)} came {shown(answer.data)}, and not {shown(text.upper())}.")
            if answer.topic != "shout":
                return not_yet(
                    f"the text is right, but its topic is {shown(answer.topic)}. Without `topic=` a text goes to "
                    "`lk.chat`; give it the topic `shout`."
                )
            if answer.reply_to != asked.id:
                return not_yet(
                    "the text is right, but it is no reply: let the handler take `event`, and send `reply_to=event`."
                )
        if _overheard(answers, "shout"):
            return not_yet("everybody in the room got the answer. `to=sender` sends it to the sender alone.")
        if (more := answers.within(0.1)) is not None:
            return not_yet(f"the answers are right, but then came one more: {shown(more.data)}.")
    return right("two texts came back in capitals, as replies, and a bystander heard neither.")


@check
def check_2() -> Verdict:
    """One answer while the text is being written, and its length when it has ended."""
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
                else "With `stream=True` a handler is called at the beginning, and its `data` are the pieces."
            )
            return not_yet(
                f"nothing came while the text was being written, and {shown(late.data)} after its end. {how}"
            )
        if first.data != "reading":
            return not_yet(f"while the text was being written {shown(first.data)} came, and not `'reading'`.")
        if first.topic != "essay":
            return not_yet(f"`'reading'` came in time, but its topic is {shown(first.topic)}, and not `essay`.")
        last = answers.next()
        length = len("".join(pieces))
        if last is None:
            return not_yet(
                f"`'reading'` came in time, but nothing after the end of the text. {why_silent(bob, 'text', 'essay')}"
            )
        if last.data != str(length) or last.topic != "essay":
            return not_yet(
                f"after the end came {shown(last.data)}, and not {shown(str(length))}. {_hint(last, pieces)}"
            )
        if _overheard(answers, "essay"):
            return not_yet("everybody in the room got the answers. `to=sender` sends them to the sender alone.")
    return right(f"`'reading'` came before the text had ended, and {length} is the number of its characters.")


def _overheard(answers: Answers, topic: str) -> bool:
    """Whether bob has sent one of his answers to others, too: his own log knows, without waiting for it."""
    return any(not each.to or "bystander" in each.to for each in answers.answered(topic))


def _hint(last: lknb.Event, pieces: tuple[str, ...]) -> str:
    text = "".join(pieces)
    return {
        "reading": "Say it once, before the loop over the pieces.",
        str(len(pieces)): "That is the number of pieces; add up the `len` of each.",
        str(len(text.encode())): "That is the number of bytes, and some characters take two.",
        str(len(pieces[0])): "That is the length of the first piece; count all of them, and answer after the loop.",
        str(len(text)): f"Its topic is {shown(last.topic)}, and should be `essay`.",
    }.get(str(last.data), "Add up the `len` of each piece, and send it as a str after the loop.")


@check
def check_3() -> Verdict:
    """A whole text and one that breaks off, both in `notes`."""
    bob = open_room("bob")
    notes = variable("notes")
    if not isinstance(notes, list):
        return not_yet(f"`notes` is {shown(notes)}, and should be a list.")
    before = len(notes)
    with lknb.connect(bob.name, "examiner") as examiner:
        served = Served(examiner, bob, "text", "dictation")
        with examiner.stream_text(topic="dictation", to="bob") as out:
            for word in ("one ", "two ", "three"):
                out.write(word)
        if not served.wait(lambda: len(notes) > before):
            return not_yet(
                "a text of three pieces was sent, and nothing was added to `notes`. "
                f"{why_silent(bob, 'text', 'dictation', 'let it append to `notes`')}"
            )
        served.rest()
        if notes[before] != "one two three":
            return not_yet(
                f"the text was `'one two three'`, and the entry is {shown(notes[before])}. One text is one entry: "
                '`"".join(pieces)`.'
            )
        if len(notes) > before + 1:
            return not_yet(f"one text made {len(notes) - before} entries: {shown(notes[before:])}.")
        with contextlib.suppress(_BreaksOffError), examiner.stream_text(topic="dictation", to="bob") as out:
            out.write("four ")
            out.write("five")
            raise _BreaksOffError
        if not served.wait(lambda: len(notes) > before + 1):
            return not_yet(
                "the whole text is there, but of the one that broke off there is nothing. The loop over the pieces "
                "raises `lknb.StreamError` then: catch it, and keep what had arrived."
            )
        if notes[before + 1] != "four five [broken off]":
            return not_yet(
                f"`'four five'` arrived, then the stream broke off, and the entry is {shown(notes[before + 1])}. "
                "It should be `'four five [broken off]'`."
            )
    return right("the whole text is one entry, and so is what arrived of the broken one.")


class _BreaksOffError(Exception):
    """Ends a stream in the middle."""
