"""Hooks for mkdocs: remove from pages the code that only tests run, and make search work without a server.

A comment that starts with `<!-- run` contains Python that tests/test_docs_site.py runs at that point of the page, such
as code for the other participant of a room, or a check of what a block has done.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

HIDDEN = re.compile(r"^<!-- run\n(?P<code>.*?)^-->\n", re.MULTILINE | re.DOTALL)
NOTEBOOK = re.compile(r"\]\(\.\./((?:\.\./)*)notebooks/([\w-]+)\.ipynb")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Remove hidden code, and point links to notebooks to their pages."""
    return NOTEBOOK.sub(r"](\1tutorials/\2.md", HIDDEN.sub("", markdown))


@event_priority(-100)  # after the plugin that writes the index
def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Write the search index as a script too, which the theme loads when a page was opened from a folder.

    Also write `.nojekyll`: otherwise GitHub Pages leaves out files whose names start with an underscore.
    """
    index = Path(config.site_dir, "search", "search_index.json")
    index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')};\n", encoding="utf-8")
    Path(config.site_dir, ".nojekyll").touch()
