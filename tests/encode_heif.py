"""Writes HEIC files that no camera would: derived pictures of every kind, and files that are made to cost much or to hide a picture.

Takes a folder with picture.png of 256x256 pixels. Each file is put together from pictures that libheif has coded, box by box.
"""

import io
import pathlib
import struct
import sys

import pillow_heif
from PIL import Image, ImageOps

folder = pathlib.Path(sys.argv[1])
picture = Image.open(folder / "picture.png").convert("RGB")
assert picture.size == (256, 256)


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def full(kind, version, flags, *parts):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def coded(image):
    """What libheif makes of a picture: its hvcC box and its bytes."""
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=90)
    data = out.getvalue()
    at = data.index(b"hvcC") - 4
    config = data[at : at + struct.unpack(">I", data[at : at + 4])[0]]
    at = data.index(b"mdat") - 4
    return config, data[at + 8 : at + struct.unpack(">I", data[at : at + 4])[0]]


def ispe(width, height):
    return full(b"ispe", 0, 0, struct.pack(">II", width, height))


class File:
    def __init__(self):
        self.items, self.references = [], []

    def item(self, kind, data, *properties, **references):
        self.items.append((kind, data, properties))
        number = len(self.items)
        self.references += [(name.encode(), number, to) for name, to in references.items()]
        return number

    def coded(self, image, *properties, size=None):
        config, data = coded(image)
        return self.item(b"hvc1", data, config, ispe(*(size or image.size)), *properties)

    def grid(self, rows, columns, size, tiles, *properties):
        data = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)
        return self.item(b"grid", data, ispe(*size), *properties, dimg=tiles)

    def overlay(self, size, places, parts, *properties):
        data = struct.pack(">BBHHHHHH", 0, 0, 0, 0, 0, 65535, *size) + b"".join(struct.pack(">hh", *place) for place in places)
        return self.item(b"iovl", data, ispe(*size), *properties, dimg=parts)

    def write(self, name, primary, tables=1):
        infos, places, idat, properties, uses = [], [], b"", [], []
        for number, (kind, data, of_item) in enumerate(self.items, 1):
            infos.append(full(b"infe", 2, 0, struct.pack(">HH", number, 0), kind, b"\0"))
            places.append(struct.pack(">HHHHII", number, 1, 0, 1, len(idat), len(data)))
            idat += data
            for prop in of_item:
                if prop not in properties:
                    properties.append(prop)
            indices = [properties.index(prop) + 1 for prop in of_item]
            uses.append(struct.pack(">HB", number, len(indices)) + bytes(0x80 | index for index in indices))
        references = [
            box(name, struct.pack(">HH", number, len(to)), *(struct.pack(">H", item) for item in to))
            for name, number, to in self.references
        ]
        meta = full(
            b"meta", 0, 0,
            full(b"hdlr", 0, 0, b"\0\0\0\0pict", bytes(13)),
            full(b"pitm", 0, 0, struct.pack(">H", primary)),
            full(b"iloc", 1, 0, b"\x44\0", struct.pack(">H", len(places)), *places) * tables,
            full(b"iinf", 0, 0, struct.pack(">H", len(infos)), *infos),
            full(b"iref", 0, 0, *references),
            box(b"iprp", box(b"ipco", *properties), full(b"ipma", 0, 0, struct.pack(">I", len(uses)), *uses)),
            box(b"idat", idat),
        )
        (folder / name).write_bytes(box(b"ftyp", b"mif1\0\0\0\0mif1heic") + meta)


QUARTERS = [(0, 0), (128, 0), (0, 128), (128, 128)]


def quarter(image, x, y):
    return image.crop((x, y, x + 128, y + 128))


irot, imir = lambda n: box(b"irot", bytes([n])), lambda n: box(b"imir", bytes([n]))
small = ImageOps.invert(picture).resize((64, 64))

file = File()
file.write("same-grid.heic", file.grid(2, 2, (256, 256), [file.coded(quarter(picture, *at)) for at in QUARTERS]))
# Turned as a whole; each tile says the same, as an old encoder had it.
file, turned = File(), picture.rotate(-90)
tiles = [file.coded(quarter(turned, *at), irot(1)) for at in QUARTERS]
file.write("same-turned-grid.heic", file.grid(2, 2, (256, 256), tiles, irot(1)))
file = File()
file.write("same-mirrored.heic", file.coded(ImageOps.mirror(picture), imir(1)))
file = File()
file.write("same-flipped.heic", file.coded(ImageOps.flip(picture), imir(0)))
# Of a wider picture the middle: turned and cropped in the order of the properties.
file, wide = File(), Image.new("RGB", (384, 256))
wide.paste(picture, (64, 0))
clap = box(b"clap", struct.pack(">IIIIiIiI", 256, 1, 256, 1, 0, 1, 0, 1))
file.write("same-cropped.heic", file.coded(wide, clap))
file = File()
parts = [file.coded(quarter(picture, *at)) for at in QUARTERS]
file.write("same-overlay.heic", file.overlay((256, 256), QUARTERS, parts))
file = File()
file.write("same-copy.heic", file.item(b"iden", b"", ispe(256, 256), imir(1), dimg=[file.coded(ImageOps.mirror(picture))]))
file = File()
primary = file.coded(small.resize((64, 64)))
file.coded(picture)
file.write("second-beside-a-tiny-one.heic", primary)

# A picture that another names as its part and does not draw.
file = File()
hidden = file.coded(picture)
config, data = coded(small)
file.write("second-named-by-a-coded-picture.heic", file.item(b"hvc1", data, config, ispe(64, 64), dimg=[hidden]))

# Where readers differ, or a picture can't be drawn, something is said.
file = File()
config, data = coded(picture)
primary = file.item(b"hvc1", data, config)
file.coded(small)
file.write("doubtful-primary-without-a-size.heic", primary)
file = File()
file.write("doubtful-two-tables-of-places.heic", file.coded(small), tables=2)
file = File()
primary = file.coded(small)
file.item(b"j2k1", data, ispe(256, 256))
file.write("doubtful-another-coding.heic", primary)

# A tile that is cut short leaves its place empty.
file = File()
tiles = [file.coded(quarter(picture, *at)) for at in QUARTERS]
kind, data, properties = file.items[3]
file.items[3] = (kind, data[: len(data) // 2], properties)
file.write("partial-grid.heic", file.grid(2, 2, (256, 256), tiles))

# Files that cost much.
file, tile = File(), None
tile = file.coded(small)
file.write("refused-a-tile-40000-times.heic", file.grid(200, 200, (12800, 12800), [tile] * 40000))
file = File()
tile = file.coded(small.resize((512, 512)))
file.write("refused-a-tile-8000-times.heic", file.grid(100, 80, (8000, 8000), [tile] * 8000))
file = File()
item = file.coded(small)
for _ in range(3):
    item = file.overlay((64, 64), [(0, 0)] * 100, [item] * 100)
file.write("refused-overlays-three-deep.heic", item)
file = File()
file.write("refused-a-copy-of-itself.heic", file.item(b"iden", b"", ispe(64, 64), dimg=[1]))
file = File()
file.write("refused-larger-than-it-says.heic", file.coded(picture.resize((1024, 1024)), size=(64, 64)))
file = File()
for _ in range(3000):
    file.item(b"mime", b"", ispe(64, 64))
file.write("refused-many-items.heic", file.coded(small))
# Copies by the thousand of an overlay of overlays.
file = File()
item = file.coded(small)
for _ in range(3):
    item = file.overlay((64, 64), [(0, 0)] * 18, [item] * 18)
copies = [file.item(b"iden", b"", ispe(64, 64), dimg=[item]) for _ in range(1500)]
file.write("doubtful-copies-of-much.heic", copies[0])
# A coded picture is none the smaller for a part that it names.
file = File()
part = file.coded(small)
config, data = coded(small)
file.write("refused-large-for-all-its-parts.heic", file.item(b"hvc1", data, config, ispe(9900, 9900), dimg=[part]))

# As many items and references as are read, each of which must be looked up. More bytes are referred to than are read.
file = File()
tiles = [file.coded(small) if n == 0 else file.item(*file.items[0][:2], *file.items[0][2]) for n in range(2000)]
file.write("partial-as-many-as-may-be.heic", file.grid(100, 80, (6400, 5120), tiles * 4))
