"""`Live`: an object that is part of a running program, such as an open room, and cannot be copied or pickled."""

from __future__ import annotations

from typing import ClassVar, NoReturn, SupportsIndex


class Live:
    """Refuses `copy`, `deepcopy` and `pickle`, and says what to use instead."""

    __slots__ = ()

    _instead: ClassVar[str] = ""
    """What to copy or pickle instead, as a sentence."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is live, so it cannot be copied or pickled. {self._instead}")

    def __copy__(self) -> NoReturn:
        self.__reduce_ex__(2)

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce_ex__(2)
