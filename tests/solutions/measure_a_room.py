"""What the cells of measure-a-room.ipynb say; it has no exercises."""

SOLUTIONS: dict[str, str] = {}

WRONG: dict[str, list[tuple[str, str]]] = {}

OUTPUTS = {
    "connect": ["on this machine"],
    "one": ["it took less than a second: True"],
    "systems": ["7 kinds of message"],
    "measure": ["420 measurements, each a row"],
    "percentiles": ["50%", "95%", "lost", "text stream", "lossy packet", "attribute", "call and answer"],
    "rate": ["packets a second", "median age", "10,000 B"],
    "close": ["[]"],
}
