"""What mkdocs does beside its plugins: it leaves out of a page what only the tests run, and searches without a server.

A comment that begins with `<!-- run` holds Python that tests/test_docs_site.py runs at that place of the page, such as
what makes the other end of a room, or a check of what a block has done.
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
    """The page without what is hidden; links to notebooks lead to their pages."""
    return NOTEBOOK.sub(r"](\1tutorials/\2.md", HIDDEN.sub("", markdown))


@event_priority(-100)  # after the plugin that writes the index
def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """The search's index as a script too: that is how the theme asks for it when a page was opened from a folder.

    And a word to GitHub Pages, which otherwise leaves out files whose names begin with an underscore.
    """
    index = Path(config.site_dir, "search", "search_index.json")
    index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')};\n", encoding="utf-8")
    Path(config.site_dir, ".nojekyll").touch()
