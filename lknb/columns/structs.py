"""Payloads that are structs of C: their layout, checked."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def struct_layout(form: str, names: Sequence[str]) -> tuple[struct.Struct, int]:
    """A struct's layout, and how many values it has.

    Raises:
        ValueError: for an invalid format, one without values, or a different number of names than values.
    """
    try:
        layout = struct.Struct(form)
        count = len(layout.unpack(bytes(layout.size)))
    except struct.error as error:
        raise ValueError(
            f'{form!r} is not a struct format: {error}. Write it like "<dff" (see Python\'s struct module), '
            "or pass a function that receives the bytes."
        ) from None
    if not count:
        raise ValueError(f"The struct format {form!r} has no values.")
    if names and len(names) != count:
        raise ValueError(
            f"The format {form!r} has {count} values, but {len(names)} names were given: {', '.join(names)}."
        )
    return layout, count
