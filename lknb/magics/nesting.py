"""`%lk nest`: lets sample scripts that end in `asyncio.run(main())` run in a cell."""

from __future__ import annotations

import asyncio

_STILL_PATCHED = (
    "nest-asyncio2's patches (asyncio.run, the tasks and this loop) cannot be removed safely. They stay until the "
    "kernel is restarted; then asyncio.run() in a cell is refused again."
)
_patched = False


def switch(on: bool) -> str:
    """Patch the kernel's event loop so that it can be re-entered, or say which patches remain."""
    global _patched
    if not on:
        return _STILL_PATCHED if _patched else "asyncio is unchanged: nothing was patched."
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return "asyncio.run(main()) already works here: no event loop is running."
    import nest_asyncio2

    nest_asyncio2.apply(loop)
    _patched = True
    return "asyncio.run(main()) now works in cells. lknb itself does not need this."
