"""SQL by DuckDB over events and samples. DuckDB reads Arrow batch by batch, and moves to the disk what is too large."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lknb.inert import inert_line

if TYPE_CHECKING:
    import pandas

EVENTS = "events"

_LONGEST = 2000


class Database:
    """A database in memory with some tables, for queries in SQL.

    Args:
        tables: Arrow tables, or readers of record batches, by the names that queries use.

    Raises:
        ImportError: without DuckDB.
    """

    def __init__(self, tables: Iterable[tuple[str, Any]]) -> None:
        try:
            import duckdb
        except ImportError:
            raise ImportError('SQL needs DuckDB: pip install "lknb[sql]"') from None
        self._duckdb = duckdb
        # Not a TemporaryDirectory, which warns when it is collected: recordings may be left without closing them.
        folder = tempfile.mkdtemp(prefix="lknb-sql-")
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._database = duckdb.connect()
        try:
            self._database.execute("set temp_directory = ?", [folder])
            self._database.execute("set TimeZone = 'UTC'")
            with self._interruptible():
                for name, table in tables:
                    self._database.register("lknb_source", table)
                    self._database.execute(f"create table {quoted(name)} as from lknb_source")
                    self._database.unregister("lknb_source")
            # A name in a query is a table, never a variable of the code that asks.
            self._database.execute("set python_enable_replacements = false")
        except BaseException:
            self.close()
            raise

    def ask(self, query: str) -> pandas.DataFrame:
        """The result of a query.

        Raises:
            TypeError: for a query that is not a str.
            ValueError: for a query that fails; the message has the tables with their columns.
            ImportError: without pandas.
        """
        if not isinstance(query, str):
            raise TypeError(f"query must be a str with SQL, not {type(query).__name__}.")
        try:
            import pandas  # noqa: F401 - DuckDB makes its result with it
        except ImportError:
            raise ImportError('SQL returns a DataFrame, so it needs pandas: pip install "lknb[data]"') from None
        try:
            with self._interruptible():
                found = self._database.execute(query)
                if found is None or found.description is None:
                    raise ValueError("The query failed. It is empty.")
                return found.df()
        except self._duckdb.Error as error:
            raise ValueError(self._explained(error)) from None

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Raise KeyboardInterrupt in this block if it was interrupted, and not what DuckDB makes of that."""
        try:
            yield
        except (self._duckdb.InterruptException, RuntimeError) as error:
            if "interrupted" not in str(error).lower():
                raise
            raise KeyboardInterrupt from None

    def _explained(self, error: Exception) -> str:
        with contextlib.suppress(self._duckdb.Error):  # there is none, unless the query began one
            self._database.rollback()
        tables: dict[str, list[str]] = {}
        asked = (
            "from duckdb_columns() select table_name, column_name where not internal order by table_oid, column_index"
        )
        for table, column in self._database.execute(asked).fetchall():
            tables.setdefault(table, []).append(column)
        words = "from duckdb_keywords() select keyword_name where keyword_category = 'reserved'"
        reserved = {word for (word,) in self._database.execute(words).fetchall()}

        def written(name: str) -> str:
            is_plain = re.fullmatch("[a-z_][a-z0-9_]*", name) and name not in reserved
            return name if is_plain else quoted(name)

        known = "; ".join(f"{written(name)} with {', '.join(map(written, names))}" for name, names in tables.items())
        return f"The query failed. {inert_line(str(error).strip())} Tables: {inert_line(known)[:_LONGEST]}."

    def close(self) -> None:
        """Discard the tables."""
        self._database.close()
        self._remove()


def quoted(name: str) -> str:
    """A name in SQL, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def names(topics: Iterable[str]) -> Mapping[str, str]:
    """The names of the tables of topics, by topic. SQL does not tell capital letters from small ones."""
    taken = {EVENTS}
    found: dict[str, str] = {}
    for topic in topics:
        name = plain = topic.replace("\0", "\N{REPLACEMENT CHARACTER}") or "no topic"
        number = 2
        while name.casefold() in taken:
            name, number = f"{plain} ({number})", number + 1
        taken.add(name.casefold())
        found[topic] = name
    return found
