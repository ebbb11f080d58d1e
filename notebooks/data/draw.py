"""Draw evening.png, the picture in the quickstart: `python notebooks/data/draw.py`. Standard library only."""

import math
import struct
import zlib
from pathlib import Path

WIDTH, HEIGHT = 560, 300
SUN_X, SUN_Y, SUN_RADIUS = 390, 128, 34
TOP, HORIZON = (38, 32, 84), (255, 176, 112)
SUN = (255, 240, 200)
# From far to near: height, colour, and the waves (length, size, shift) of the outline.
HILLS = [
    (168, (150, 92, 120), [(210, 14, 0.4), (67, 5, 2.0)]),
    (196, (104, 66, 108), [(260, 18, 2.1), (83, 6, 0.3)]),
    (226, (64, 46, 90), [(190, 16, 4.0), (51, 4, 1.1)]),
    (260, (30, 26, 58), [(310, 20, 1.2), (73, 5, 3.3)]),
]

Colour = tuple[int, int, int]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return the colour `share` of the way from `a` to `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def outline(x: int, height: int, waves: list[tuple[int, int, float]]) -> float:
    """Return the top of a hill in column `x`."""
    return height + sum(size * math.sin(2 * math.pi * x / length + shift) for length, size, shift in waves)


def pixel(x: int, y: int) -> Colour:
    """Return the colour of the nearest hill, else of the sun, else of the sky."""
    for height, colour, waves in reversed(HILLS):
        if y >= outline(x, height, waves):
            return colour
    distance = math.hypot(x - SUN_X, y - SUN_Y)
    if distance <= SUN_RADIUS:
        return SUN
    sky = mix(TOP, HORIZON, min(1.0, y / 190))
    glow = max(0.0, 1 - (distance - SUN_RADIUS) / 150)
    return mix(sky, SUN, 0.55 * glow**2)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main() -> None:
    """Write the picture beside this script."""
    rows = b"".join(b"\0" + bytes(value for x in range(WIDTH) for value in pixel(x, y)) for y in range(HEIGHT))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    Path(__file__).with_name("evening.png").write_bytes(png)


if __name__ == "__main__":
    main()
