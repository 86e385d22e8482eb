"""Draw the Mandelbrot set: tiles are computed in the mesh and assembled into a PNG here.

python examples/mandelbrot.py --local 2 -o mandelbrot.png
python examples/mandelbrot.py --width 1920 --height 1080        in the mesh of this computer
"""

import argparse
import struct
import sys
import time
import zlib
from pathlib import Path

import swarm

TILE_ROWS = 16


def draw_rows(first: int, count: int, width: int, height: int, iterations: int) -> bytes:
    """Return rows of the picture, three bytes a pixel."""
    pixels = bytearray()
    scale = 3.2 / width
    for row in range(first, first + count):
        imaginary = (row - height / 2) * scale
        for column in range(width):
            real = (column - width / 2) * scale - 0.6
            pixels += colour(escape_time(complex(real, imaginary), iterations), iterations)
    return bytes(pixels)


def escape_time(point: complex, iterations: int) -> int:
    # Points of the main cardioid and of the largest disc never escape.
    q = (point.real - 0.25) ** 2 + point.imag**2
    if q * (q + point.real - 0.25) <= 0.25 * point.imag**2 or (point.real + 1) ** 2 + point.imag**2 <= 0.0625:
        return iterations
    z = 0j
    for n in range(iterations):
        z = z * z + point
        if z.real * z.real + z.imag * z.imag > 4.0:
            return n
    return iterations


def colour(n: int, iterations: int) -> bytes:
    if n >= iterations:
        return b"\0\0\0"
    t = (n / iterations) ** 0.4
    shades = 9 * (1 - t) * t**3, 15 * (1 - t) ** 2 * t**2, 8.5 * (1 - t) ** 3 * t
    return bytes(int(255 * shade) for shade in shades)


def png(width: int, height: int, rows: bytes) -> bytes:
    """Return a PNG file (RFC 2083) of rows of three bytes a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    stride = 3 * width
    filtered = b"".join(b"\0" + rows[row * stride : (row + 1) * stride] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(filtered, 9))
        + chunk(b"IEND", b"")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the Mandelbrot set in a mesh.")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=400)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("-o", "--output", default="mandelbrot.png")
    parser.add_argument("--local", type=int, metavar="N", help="make a mesh of N nodes for this run")
    arguments = parser.parse_args()

    width, height = arguments.width, arguments.height
    firsts = list(range(0, height, TILE_ROWS))
    counts = [min(TILE_ROWS, height - first) for first in firsts]
    with swarm.local(arguments.local) if arguments.local else swarm.connect() as mesh:
        started = time.monotonic()
        size = [width] * len(firsts), [height] * len(firsts), [arguments.iterations] * len(firsts)
        tiles = mesh.gather(mesh.map(draw_rows, firsts, counts, *size))
        seconds = time.monotonic() - started
    picture = png(width, height, b"".join(tiles))
    Path(arguments.output).write_bytes(picture)
    print(
        f"{len(tiles)} tiles in {seconds:.1f} s; {arguments.output}: {width}x{height}, {len(picture)} bytes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
