"""The IPython extension: `%lk`, `%%lk` and their completion, added and removed again without a trace."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Float, Unicode

from lknb.magics.as_typed import as_typed
from lknb.magics.completion import Completion
from lknb.magics.grammar import HelpRequested, Verb, closest, one_line, split
from lknb.magics.scope import function_scope
from lknb.magics.session import Session
from lknb.magics.verbs import VERBS, Run, Silent, Text

LINE: dict[str, tuple[Verb, Run]] = {verb.name: (verb, run) for verb, run in VERBS if not verb.cell}
CELL: dict[str, tuple[Verb, Run]] = {verb.name: (verb, run) for verb, run in VERBS if verb.cell}

# Seconds that unloading waits for joins that were given up: they need lknb's thread to end.
_GIVEN_UP_WITHIN = 5.0


def overview() -> str:
    """The text that `%lk` alone shows."""
    width = max(len(name) for name in (*LINE, *CELL))
    lines = ["LiveKit rooms from cells. Use %lk VERB on a line, and %%lk VERB with the cell's body.", ""]
    for magic, verbs in (("%lk", LINE), ("%%lk", CELL)):
        lines += [f"{magic:>4} {name:<{width}}  {verb.summary}" for name, (verb, _) in verbs.items()]
        lines.append("")
    lines += [
        "To start:",
        "  %lk connect studio --as alice",
        "",
        "  %%lk text",
        "  Hello from a cell!",
        "",
        "%lk VERB --help (or %%lk VERB --help) shows a verb's options. A payload is the cell's body, or a variable's",
        "value with --var NAME. Variables in the line are not expanded. A trailing ; hides the output.",
    ]
    return "\n".join(lines)


@magics_class
class LkMagics(Magics):
    """`%lk` and `%%lk`."""

    url = Unicode("", help="The server that %lk connect uses without --url; LIVEKIT_URL if empty.").tag(config=True)
    identity = Unicode("", help="The identity that %lk connect uses without --as.").tag(config=True)
    timeout = Float(10.0, help="Seconds that %lk connect waits without --timeout.").tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.session = Session(shell, self)

    # Not `output_can_be_silenced`: it parses the body as Python after the verb has run, and fails if it is not.
    @no_var_expand
    @line_cell_magic
    def lk(self, line: str, cell: str | None = None) -> Any:
        """Drive a LiveKit room from cells."""  # replaced below by the overview, for `%lk?`
        scope = function_scope(self.session.shell)
        try:
            result = self._run(line.strip().removesuffix(";"), line, cell, scope)
        except UsageError as error:
            # The message may quote text from the room.
            raise UsageError(one_line(str(error))) from None
        return None if isinstance(result, Silent) or line.rstrip().endswith(";") else result

    def _run(self, words: str, line: str, cell: str | None, scope: Mapping[str, Any] | None) -> Any:
        verbs, magic = (LINE, "%lk") if cell is None else (CELL, "%%lk")
        name, *rest = words.split(None, 1) or [""]
        if name in ("", "-h", "--help", "help"):
            return Text(overview())
        if name not in verbs and name in CELL and rest and rest[0].strip() in ("-h", "--help"):
            verbs = CELL  # IPython runs no cell magic without a body, so %lk shows its help too
        if name not in verbs:
            raise UsageError(self._unknown(name, cell))
        verb, run = verbs[name]
        try:
            args = verb.parser().read(split(rest[0] if rest else ""))
        except HelpRequested as requested:
            return Text(str(requested))
        out = args.out
        if out and scope is not None:
            raise UsageError(
                f"{magic} {name}: -o {out} cannot set a variable of a function, only one of the notebook. Omit it, and "
                f"assign the result: {out} = %lk ..."
            )
        args.scope = scope or {}
        body = "" if cell is None else as_typed(self.shell, line, cell)
        result = self._call(run, args, f"{magic} {line}", body)
        if out:
            self.session.shell.user_ns[out] = None if isinstance(result, Silent) else result
        return result

    def _call(self, run: Run, args: Any, line: str, body: str) -> Any:
        from lknb.errors import LknbError

        problem: str | None = None
        try:
            return run(self.session, args, line, body)
        except LknbError as error:
            problem = f"{type(error).__name__}: {error}"
        except (TimeoutError, TypeError, ValueError) as error:
            problem = str(error)
        # One line, like the other errors of magics; the Python API shows tracebacks.
        raise UsageError(problem)

    @staticmethod
    def _unknown(name: str, cell: str | None) -> str:
        if cell is None and name in CELL and name not in LINE:
            return f"%%lk {name} needs a body: start the cell with %%lk {name}, and write the body below it."
        if cell is not None and name in LINE:
            return f"%lk {name} takes no body: write it on its own line, with one %."
        verbs = LINE if cell is None else CELL
        magic = "%lk" if cell is None else "%%lk"
        return f"{magic} has no verb {name}{closest(name, verbs) or '.'} Verbs: {', '.join(verbs)}."


LkMagics.lk.__doc__ = overview()


_loaded: tuple[Any, LkMagics, Completion, dict[str, Any]] | None = None
# What `%reload_ext` carries over: the current room, and the settings.
_kept: tuple[Any, Any, dict[str, Any]] | None = None


def load(shell: Any) -> None:
    """Add the magics to `shell`. Calling this again does nothing."""
    global _loaded, _kept
    if _loaded is not None and _loaded[0] is shell:
        return
    magics = LkMagics(shell)
    if _kept is not None and _kept[0] is shell:
        _, room, settings = _kept
        if room is not None:
            magics.session.choose(room)
        for name, value in settings.items():
            setattr(magics, name, value)
    _kept = None
    # IPython's own alias %lk, which lists links, is restored on unload.
    before = {kind: names["lk"] for kind, names in shell.magics_manager.magics.items() if "lk" in names}
    # Each %reset would try to define this default alias again, and report that it cannot.
    aliases = shell.alias_manager.default_aliases
    before["aliases"] = [each for each in aliases if each[0] == "lk"]
    shell.alias_manager.default_aliases = [each for each in aliases if each[0] != "lk"]
    shell.register_magics(magics)
    completion = Completion(magics.session, LINE, CELL)
    completion.install(shell)
    _loaded = (shell, magics, completion, before)


def unload(shell: Any) -> None:
    """Remove the magics, their completion and settings, leave all rooms, and stop lknb's thread."""
    global _loaded, _kept
    if _loaded is None or _loaded[0] is not shell:
        return
    _, magics, completion, before = _loaded
    _loaded = None
    completion.remove(shell)
    shell.alias_manager.default_aliases = [*shell.alias_manager.default_aliases, *before["aliases"]]
    manager = shell.magics_manager
    for kind in ("line", "cell"):
        if getattr(manager.magics[kind].get("lk"), "__self__", None) is magics:
            del manager.magics[kind]["lk"]
            if kind in before:
                manager.magics[kind]["lk"] = before[kind]
    manager.registry.pop(LkMagics.__name__, None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)
    if _reloading():
        _kept = (
            shell,
            magics.session.current,
            {name: getattr(magics, name) for name in magics.trait_names(config=True)},
        )
    else:
        _leave(shell)


def _reloading() -> bool:
    """Whether this unload is the first half of `%reload_ext`, which must keep the rooms open."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "reload_extension":
            return True
        frame = frame.f_back
    return False


def _leave(shell: Any) -> None:
    if "lknb.connecting" in sys.modules:
        from lknb.cells import unwatch_cells
        from lknb.connecting import rooms
        from lknb.loop import LOOP, all_finished

        for room in rooms():
            room.close()
        unwatch_cells()
        if LOOP.is_running():
            LOOP.run(all_finished(_GIVEN_UP_WITHIN), "unload")
        LOOP.stop()
