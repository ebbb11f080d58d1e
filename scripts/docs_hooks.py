"""What mkdocs does beside its plugins: leaves out of a page what only the tests run.

A comment that begins with `<!-- run` holds Python that tests/test_docs_site.py runs at that place of the page, such as
what makes the other end of a room, or a check of what a block has done.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = re.compile(r"^<!-- run\n(?P<code>.*?)^-->\n", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page without what is hidden."""
    return HIDDEN.sub("", markdown)
