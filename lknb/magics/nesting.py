"""`%lk nest`: sample scripts that end in `asyncio.run(main())` run when they are pasted into a cell."""

from __future__ import annotations

import asyncio

_LEFT = (
    "asyncio.run() in a cell is refused again after the kernel is restarted. What nest-asyncio2 has patched "
    "(asyncio.run, the tasks and this loop) stays patched until then: it cannot be taken back safely."
)
_patched = False


def switch(on: bool) -> str:
    """Patch the kernel's event loop so that it may be re-entered, or say what stays of that."""
    global _patched
    if not on:
        return _LEFT if _patched else "asyncio is as it was: nothing had been patched."
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return "asyncio.run(main()) works here as it is: no event loop is running."
    import nest_asyncio2

    nest_asyncio2.apply(loop)
    _patched = True
    return "asyncio.run(main()) works in cells now. lknb itself does not need it."
