"""Writes each PNG of a folder in every format and colour mode that Python can write and hashwarden reads.

A name says what is to be seen: NAME-same-... is the picture itself, NAME-turned-... the picture turned by a right angle or mirrored and said to
be so, NAME-several-... a file that holds other pictures too.
"""

import pathlib
import struct
import sys

import pillow_heif
import pillow_jxl  # noqa: F401  registers itself with Pillow
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
folder = pathlib.Path(sys.argv[1])


def orientation(n):
    exif = Image.Exif()
    exif[0x0112] = n
    return exif.tobytes()


# What a picture has to be made into, so that a reader who heeds the orientation makes the picture of it again.
BACK = {
    2: lambda p: ImageOps.mirror(p),
    3: lambda p: p.rotate(180),
    4: lambda p: ImageOps.flip(p),
    5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
    6: lambda p: p.rotate(90, expand=True),
    7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
    8: lambda p: p.rotate(270, expand=True),
}


def wide_png(picture, channels):
    """A PNG of 16 bits a sample, which Pillow can't write."""
    import zlib

    width, height = picture.size
    data = picture.tobytes()
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for value in data[y * width * channels : (y + 1) * width * channels]:
            rows += bytes([value, 255 - value])

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b"")


for source in sorted(folder.glob("*.png")):
    rgb = Image.open(source).convert("RGB")
    grey = rgb.convert("L")
    opaque = rgb.convert("RGBA")
    clear = rgb.convert("RGBA")
    clear.putalpha(grey.point(lambda v: 128 + v // 2))
    others = [ImageOps.invert(rgb.rotate(30 * i)) for i in range(1, 4)]

    def save(picture, name, **options):
        # Copies, as Pillow keeps the options of earlier formats.
        if "append_images" in options:
            options["append_images"] = [other.copy() for other in options["append_images"]]
        picture.copy().save(folder / f"{source.stem}-{name}", **options)

    for mode in ["L", "RGB", "CMYK"]:
        save(rgb.convert(mode), f"same-{mode}.jpg", quality=85)
    save(rgb, "same-rgb-444.jpg", quality=90, subsampling=0, keep_rgb=True)
    for name, picture in [("L", grey), ("RGB", rgb), ("RGBA", opaque), ("clear", clear), ("P", rgb.quantize(256)), ("P64", rgb.quantize(64))]:
        save(picture, f"same-{name}.png")
    save(opaque.quantize(255, method=Image.Quantize.FASTOCTREE), "same-PA.png")
    (folder / f"{source.stem}-same-16-L.png").write_bytes(wide_png(grey, 1))
    (folder / f"{source.stem}-same-16-RGB.png").write_bytes(wide_png(rgb, 3))
    (folder / f"{source.stem}-same-16-RGBA.png").write_bytes(wide_png(opaque, 4))
    for name, options in [("lossy", {"quality": 70}), ("lossless", {"lossless": True})]:
        save(rgb, f"same-{name}.webp", **options)
        save(clear, f"same-{name}-clear.webp", **options)
    save(rgb, "same.gif")
    for name, picture in [("L", grey), ("P", rgb.quantize(256)), ("RGB", rgb)]:
        save(picture, f"same-{name}.bmp")
    for name, picture in [("L", grey), ("RGB", rgb), ("RGBA", clear), ("CMYK", rgb.convert("CMYK"))]:
        save(picture, f"same-{name}.tif", compression="tiff_lzw")
    save(rgb, "same-jpeg.tif", compression="jpeg")
    wide = grey.convert("I").point(lambda v: v * 257).convert("I;16")
    save(wide, "same-16.tif")
    save(wide, "same-16.pgm")
    for name, picture in [("L.pgm", grey), ("RGB.ppm", rgb), ("RGBA.pam", opaque)]:
        try:
            save(picture, f"same-{name}")
        except (OSError, ValueError, KeyError):
            pass
    (folder / f"{source.stem}-same-text.ppm").write_text(
        f"P3 # text\n{rgb.width} {rgb.height}\n255\n" + "\n".join(str(v) for v in rgb.tobytes()) + "\n"
    )
    try:
        save(rgb, "same.qoi")
        save(clear, "same-clear.qoi")
    except (OSError, ValueError, KeyError):
        pass
    save(rgb, "same-png.ico", sizes=[rgb.size] if max(rgb.size) <= 256 else [(256, 256)])
    save(rgb, "same-bmp.ico", sizes=[rgb.size] if max(rgb.size) <= 256 else [(256, 256)], bitmap_format="bmp")

    for chroma in ["420", "422", "444"]:
        save(rgb, f"same-{chroma}.heic", quality=70, chroma=chroma)
    save(grey, "same-L.heic", quality=70)
    save(clear, "same-clear.heic", quality=80)
    save(rgb, "same-lossless.heic", quality=-1, matrix_coefficients=0, chroma="444")
    save(rgb, "same-709.heic", quality=80, matrix_coefficients=1, full_range_flag=0)
    for bits in (10, 12):
        wide = bytes(b for v in rgb.tobytes() for b in struct.pack("<H", v * 257))
        pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
        pillow_heif.encode("RGB;16", rgb.size, wide, folder / f"{source.stem}-same-{bits}.heic", quality=80)
    save(rgb, "several.heic", quality=80, save_all=True, append_images=others)
    for sub in ["4:2:0", "4:2:2", "4:4:4"]:
        save(rgb, f"same-{sub.replace(':', '')}.avif", quality=70, subsampling=sub)
    save(rgb, "same-limited.avif", quality=80, range="limited")
    save(rgb, "same-tiles.avif", quality=80, tile_rows=1, tile_cols=1)
    save(rgb, "same-lossless.avif", quality=100, subsampling="4:4:4")
    save(grey, "same-400.avif", quality=80, subsampling="4:0:0")
    save(clear, "same-clear.avif", quality=80)
    save(clear, "same-premultiplied.avif", quality=90, alpha_premultiplied=True)
    save(rgb, "several-moving.avif", quality=80, save_all=True, append_images=others)
    save(rgb, "same.jxl", quality=85)
    save(rgb, "same-lossless.jxl", lossless=True)
    save(grey, "same-L.jxl", quality=85)
    save(clear, "same-clear.jxl", quality=90)
    save(clear, "same-clear-lossless.jxl", lossless=True)
    save(rgb, "same.jp2")
    save(rgb, "same-lossy.j2k", irreversible=True, quality_mode="rates", quality_layers=[20])
    save(grey, "same-L.jp2")
    save(opaque, "same-RGBA.jp2")
    save(rgb, "same-tiles.jp2", tile_size=(64, 64))
    for n, back in BACK.items():
        for kind, options in [("jpg", {"quality": 90}), ("heic", {"quality": 85}), ("avif", {"quality": 85}), ("webp", {}), ("tif", {})]:
            save(back(rgb), f"turned-{n}.{kind}", exif=orientation(n), **options)
    save(rgb, "several.mpo", save_all=True, append_images=others)
    save(rgb, "several.gif", save_all=True, append_images=others)
    save(rgb, "several-apng.png", save_all=True, append_images=others)
    save(rgb, "several.webp", save_all=True, append_images=others)
    save(rgb, "several.tif", save_all=True, append_images=others, compression="tiff_lzw")
