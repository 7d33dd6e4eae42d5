"""Ways to damage bytes and text, whatever they mean."""

from __future__ import annotations

import random as random_
from collections.abc import Callable

MARKS = [
    *"\t\r\x00\x1b\x85\ufeff\u2028\ud800:{}[]&*!|>'\"%@`#?-,;=",
    *("\n", "- ", "? ", "---\n", "...\n", "<<: ", '"""', "\\", "//", "NaN", "1e999", "null"),
]
Damage = Callable[[bytes, random_.Random], bytes]


def cut(raw: bytes, random: random_.Random) -> bytes:
    return raw[: random.randrange(len(raw))]


def flipped(raw: bytes, random: random_.Random) -> bytes:
    """A few bits."""
    spoilt = bytearray(raw)
    for _ in range(random.randint(1, 4)):
        spoilt[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    return bytes(spoilt)


def marked(raw: bytes, random: random_.Random) -> bytes:
    """A mark that means something to a parser, once or many times."""
    at = random.randrange(len(raw))
    mark = random.choice(MARKS).encode("utf-8", "surrogatepass") * random.choice([1, 1, 2, 500])
    return raw[:at] + mark + raw[at:]


def swapped(raw: bytes, random: random_.Random) -> bytes:
    """Lines."""
    lines = raw.split(b"\n")
    for _ in range(random.randint(1, 3)):
        i, j = random.randrange(len(lines)), random.randrange(len(lines))
        lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def repeated(raw: bytes, random: random_.Random) -> bytes:
    """A line."""
    lines = raw.split(b"\n")
    line = random.randrange(len(lines))
    return b"\n".join(lines[: line + 1] + lines[line:])


def holed(raw: bytes, random: random_.Random) -> bytes:
    """Zeros, as a disk leaves them behind that lost power."""
    at, length = random.randrange(len(raw)), random.randint(1, 512)
    return raw[:at] + b"\0" * min(length, len(raw) - at) + raw[at + length :]


ANY: dict[str, Damage] = {
    "cut": cut,
    "bits flipped": flipped,
    "a hole": holed,
    "empty": lambda raw, _: b"",
    "zeros": lambda raw, _: b"\0" * len(raw),
    "random bytes": lambda _, random: random.randbytes(300),
    "twice": lambda raw, _: raw + raw,
}
"""Of any file."""

TEXT: dict[str, Damage] = {
    **ANY,
    "a mark": marked,
    "lines swapped": swapped,
    "a line twice": repeated,
    "utf-16": lambda raw, _: raw.decode().encode("utf-16"),
    "bom": lambda raw, _: b"\xef\xbb\xbf" + raw,
    "latin-1": lambda raw, _: raw + b"\xe9\xff",
    "carriage returns": lambda raw, _: raw.replace(b"\n", b"\r\n"),
    "old line ends": lambda raw, _: raw.replace(b"\n", b"\r"),
    "long": lambda raw, _: raw + b"x" * (1 << 20),
}


def damage(raw: bytes, random: random_.Random, ways: dict[str, Damage]) -> tuple[str, bytes]:
    """What was done, and what became of `raw`."""
    name = random.choice(list(ways))
    return name, ways[name](raw, random) if raw else raw
