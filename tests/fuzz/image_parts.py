"""Where the parts of an image file lie, so that it can be spoilt and still be read for the most of it.

parts(content)    the chunks, segments, boxes, entries or blocks it is made of
repaired(content) the same with the checksums that a reader asks for
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n"
BOXES = frozenset((b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"jp2h"))
FULL = frozenset((b"meta",))  # boxes with four bytes of version and flags before those in them


class Part(NamedTuple):
    """Bytes start to end, of which those from `body` on are its content."""

    start: int
    body: int
    end: int


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks: (type, content)."""
    return PNG + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def parts(content: bytes) -> list[Part]:
    """By what the file begins with; of what is not known, its header in pieces of four bytes."""
    if content.startswith(PNG):
        found = _chunks(content)
    elif content.startswith((b"\xff\xd8", b"\xff\x4f")):
        found = _segments(content)
    elif content.startswith(b"RIFF"):
        found = _riff(content, 12)
    elif content[4:8] in (b"ftyp", b"jP  "):
        found = _boxes(content, 0, len(content))
    elif content[:4] in (b"II*\0", b"MM\0*"):
        found = _entries(content)
    elif content.startswith(b"GIF8"):
        found = _blocks(content)
    else:
        found = (Part(n, n, n + 4) for n in range(0, min(128, len(content) - 4), 4))
    return [part for part in found if part.start < part.end <= len(content)]


def repaired(content: bytes) -> bytes:
    """With the checksums of a PNG's chunks as far as those can be found; of other files, as it is."""
    if not content.startswith(PNG):
        return content
    fixed = bytearray(content)
    for part in _chunks(content):
        if part.end <= len(content):
            checksum = zlib.crc32(content[part.start + 4 : part.end - 4])
            fixed[part.end - 4 : part.end] = struct.pack(">I", checksum)
    return bytes(fixed)


def _chunks(content: bytes) -> Iterator[Part]:
    at = len(PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        yield Part(at, at + 8, at + 12 + length)
        at += 12 + length


def _segments(content: bytes) -> Iterator[Part]:
    """Of a JPEG or of a bare JPEG 2000, whose markers look alike."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        (length,) = struct.unpack_from(">H", content, at + 2)
        end = at + 2 + length
        if content[at + 1] == 0xDA:  # a scan goes on until a marker that is no restart
            yield Part(at, at + 4, end)
            at = end
            while end + 1 < len(content) and not (
                content[end] == 0xFF and content[end + 1] not in (0, *range(0xD0, 0xD8))
            ):
                end += 1
            yield Part(at, at, end)
        else:
            yield Part(at, at + 4, end)
        at = end


def _riff(content: bytes, at: int) -> Iterator[Part]:
    while at + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, at + 4)
        end = at + 8 + length + length % 2
        yield Part(at, at + 8, end)
        if content[at : at + 4] == b"ANMF":
            yield from _riff(content[:end], at + 24)
        at = end


def _boxes(content: bytes, at: int, end: int) -> Iterator[Part]:
    while at + 8 <= end:
        (length,) = struct.unpack_from(">I", content, at)
        last = at + length if length >= 8 else end
        kind = content[at + 4 : at + 8]
        yield Part(at, at + 8, last)
        if kind in BOXES:
            yield from _boxes(content, at + 8 + 4 * (kind in FULL), min(last, end))
        elif kind == b"jp2c":
            start = at + 8
            for part in _segments(content[start:last]):
                yield Part(*(start + place for place in part))
        at = last


def _entries(content: bytes) -> Iterator[Part]:
    """The entries of all of a TIFF's directories."""
    order = "<" if content.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", content, 4)
    for _ in range(8):
        if not 8 <= at <= len(content) - 6:
            return
        (count,) = struct.unpack_from(f"{order}H", content, at)
        ends = range(at + 2, min(at + 2 + 12 * count, len(content) - 12), 12)
        yield from (Part(start, start + 2, start + 12) for start in ends)
        after = at + 2 + 12 * count
        if after + 4 > len(content):
            return
        yield Part(after, after, after + 4)
        (at,) = struct.unpack_from(f"{order}I", content, after)


def _blocks(content: bytes) -> Iterator[Part]:
    """A GIF's header, tables, extensions and images, with the blocks of data in them."""
    at = 13 + _table(content[10])
    yield Part(0, 6, 13)
    yield Part(13, 13, at)
    while at < len(content) and content[at] in b"!,":
        start = at
        at += 2 if content[at] == 0x21 else 11 + _table(content[min(at + 9, len(content) - 1)])
        body = at
        for _ in itertools.count():
            if at >= len(content):
                return
            size = content[at]
            at += 1 + size
            if size == 0:
                break
            yield Part(at - 1 - size, at - size, at)
        yield Part(start, body, at)


def _table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
