"""Small images in every format and mode that Pillow writes, and some that it only reads."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from image_parts import png
from PIL import Image

WIDTH, HEIGHT = 24, 18
PIXELS = {"I": np.int32, "F": np.float32, "I;16": np.uint16}


def picture(mode: str = "RGB", seed: int = 0) -> Image.Image:
    """A slope with some noise in it."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 50, (HEIGHT, 1, 3))
    image = Image.fromarray((np.linspace(0, 200, WIDTH)[None, :, None] + noise).astype(np.uint8))
    if mode in PIXELS:
        grey = np.asarray(image.convert("L")).astype(np.float64)
        return Image.fromarray((grey * 257).astype(PIXELS[mode]))
    if mode in ("RGBA", "LA", "PA"):
        image.putalpha(image.convert("L"))
        return image.convert(mode)
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    return image.quantize(16) if mode == "P" else image.convert(mode)


def saved(kind: str, mode: str = "RGB", frames: int = 1, **options: Any) -> bytes:
    """What Pillow writes."""
    file = io.BytesIO()
    if frames > 1:
        options |= {"append_images": [picture(mode, n) for n in range(1, frames)], "save_all": True}
    picture(mode).save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a slope"
    return exif


def png_of(depth: int, colour: int, interlaced: bool = False) -> bytes:
    """A depth and type of colour that Pillow reads and does not write; Adam7 is of 8 x 8 pixels."""
    bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(WIDTH, HEIGHT)]
    if interlaced:
        passes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]
    rows = [
        bytes(1) + bytes(range(256))[: -(-width * bands * depth // 8)]
        for width, height in passes
        for _ in range(height)
    ]
    side = (8, 8) if interlaced else (WIDTH, HEIGHT)
    header = struct.pack(">IIBBBBB", *side, depth, colour, 0, 0, int(interlaced))
    palette = [(b"PLTE", bytes(range(48)))] if colour == 3 else []
    return png(
        (b"IHDR", header), *palette, (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")
    )


def tiled_tiff() -> bytes:
    """Grey tiles of 16 x 16, which Pillow does not write."""
    tags = [
        (256, WIDTH),
        (257, HEIGHT),
        (258, 8),
        (259, 1),
        (262, 1),
        (277, 1),
        (322, 16),
        (323, 16),
    ]
    lists = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = [(tag, 3, 1, value) for tag, value in tags]
    entries += [(324, 4, 4, lists), (325, 4, 4, lists + 16)]
    content = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    content += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    content += struct.pack("<8I", *(lists + 32 + 256 * n for n in range(4)), *[256] * 4)
    return content + bytes(range(256)) * 4


def _pillow(kind: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    return functools.partial(saved, kind, mode, **options)


def _all() -> dict[str, Callable[[], bytes]]:
    """Name -> how it is made. The end of a name is what a file of it is called."""
    of_modes = {
        "PNG": ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"),
        "JPEG": ("L", "RGB", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "AVIF": ("L", "RGB", "RGBA"),
        "GIF": ("1", "L", "P"),
        "BMP": ("1", "L", "P", "RGB", "RGBA"),
        "DIB": ("P", "RGB"),
        "TIFF": (
            "1",
            "L",
            "LA",
            "P",
            "PA",
            "RGB",
            "RGBA",
            "CMYK",
            "YCbCr",
            "LAB",
            "I",
            "F",
            "I;16",
        ),
        "PPM": ("1", "L", "RGB", "RGBA", "I;16", "F"),
        "JPEG2000": ("L", "LA", "RGB", "RGBA", "CMYK", "I;16"),
        # not decoded here, whatever they are called
        **{"ICO": ("RGBA",), "TGA": ("P", "RGBA"), "PCX": ("1", "RGB"), "SGI": ("RGB",)},
        **{"DDS": ("RGBA",), "QOI": ("RGB",), "ICNS": ("RGB",), "IM": ("RGB",), "MSP": ("1",)},
        **{"XBM": ("1",), "SPIDER": ("F",), "PALM": ("P",), "BLP": ("P",), "PDF": ("RGB",)},
        "EPS": ("RGB",),
    }
    made = {
        f"{kind} {mode}": _pillow(kind, mode) for kind, all_ in of_modes.items() for mode in all_
    }
    for name, kind, mode, options in (
        ("PNG frames", "PNG", "RGB", {"frames": 3}),
        ("PNG turned", "PNG", "RGB", {"exif": turned()}),
        ("PNG transparent", "PNG", "P", {"transparency": 3}),
        ("PNG 2 bits", "PNG", "P", {"bits": 2}),
        ("JPEG progressive", "JPEG", "RGB", {"progressive": True, "quality": 30}),
        ("JPEG turned", "JPEG", "RGB", {"exif": turned(5), "icc_profile": b"x" * 200}),
        ("JPEG restarts", "JPEG", "RGB", {"subsampling": 2, "restart_marker_blocks": 1}),
        ("MPO frames", "MPO", "RGB", {"frames": 2}),
        ("WEBP lossless", "WEBP", "RGBA", {"lossless": True, "exact": True}),
        ("WEBP frames", "WEBP", "RGB", {"frames": 3}),
        ("WEBP turned", "WEBP", "RGB", {"exif": turned(8), "xmp": b"<x/>"}),
        ("AVIF frames", "AVIF", "RGB", {"frames": 2}),
        ("AVIF turned", "AVIF", "RGB", {"exif": turned(3)}),
        ("GIF frames", "GIF", "P", {"frames": 3, "loop": 0, "duration": 9}),
        ("GIF transparent", "GIF", "P", {"transparency": 1, "comment": b"a slope"}),
        ("TIFF pages", "TIFF", "RGB", {"frames": 3}),
        ("TIFF lzw", "TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF deflate", "TIFF", "L", {"compression": "tiff_adobe_deflate"}),
        ("TIFF packbits", "TIFF", "L", {"compression": "packbits"}),
        ("TIFF jpeg", "TIFF", "RGB", {"compression": "jpeg"}),
        ("TIFF fax", "TIFF", "1", {"compression": "group4"}),
        ("TIFF float lzw", "TIFF", "F", {"compression": "tiff_lzw"}),
        ("TIFF big", "TIFF", "RGB", {"big_tiff": True}),
        ("TIFF turned", "TIFF", "RGB", {"exif": turned(7)}),
        ("TGA rle", "TGA", "RGB", {"compression": "tga_rle"}),
        ("JPEG2000 bare", "JPEG2000", "RGB", {"no_jp2": True}),
        ("JPEG2000 tiles", "JPEG2000", "RGB", {"tile_size": (16, 16), "irreversible": True}),
    ):
        made[name] = _pillow(kind, mode, **options)
    for depth, colour in ((2, 0), (4, 0), (4, 3), (16, 2), (16, 4), (16, 6)):
        made[f"PNG depth {depth} of {colour}"] = functools.partial(png_of, depth, colour)
    made["PNG interlaced"] = functools.partial(png_of, 8, 0, interlaced=True)
    made["TIFF tiles"] = tiled_tiff
    return made


KINDS = _all()
EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "JPEG2000": "jp2", "PPM": "ppm"}
EXTENSIONS |= {kind: kind.lower() for kind in ("PNG", "WEBP", "AVIF", "GIF", "BMP", "DIB")}


def extension(name: str) -> str:
    """Of a file of that kind; what is not decoded here is called a PNG, or nobody would look into it."""
    return EXTENSIONS.get(name.partition(" ")[0], "png")


@functools.cache
def content(name: str) -> bytes:
    """A good file of the kind."""
    return KINDS[name]()
