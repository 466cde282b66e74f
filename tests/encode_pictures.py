"""Writes each PNG of a folder in every kind of file that Pillow can write and hashwarden reads."""

import pathlib
import sys

from PIL import Image

folder = pathlib.Path(sys.argv[1])
for source in sorted(folder.glob("*.png")):
    rgb = Image.open(source).convert("RGB")
    grey, palette, turned = rgb.convert("L"), rgb.convert("P", palette=Image.Palette.ADAPTIVE), rgb.rotate(90, expand=True)
    alpha = rgb.convert("RGBA")
    alpha.putalpha(grey)
    frames = [rgb.rotate(10 * i) for i in range(1, 4)]

    def save(picture, name, **options):
        picture.save(folder / f"{source.stem}-{name}", **options)

    for mode in ["L", "RGB", "CMYK"]:
        save(rgb.convert(mode), f"{mode}.jpg", quality=85)
        save(rgb.convert(mode), f"{mode}-progressive.jpg", quality=60, progressive=True, optimize=True)
    save(rgb.convert("YCbCr"), "444.jpg", quality=95, subsampling=0)
    save(rgb, "profile.jpg", icc_profile=bytes(range(256)) * 700, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    save(rgb, "restart.jpg", restart_marker_rows=1)
    save(rgb, "mpo.mpo", save_all=True, append_images=frames)
    for name, picture in [("L", grey), ("P", palette), ("RGB", rgb), ("RGBA", alpha), ("LA", alpha.convert("LA")), ("1", grey.convert("1"))]:
        save(picture, f"{name}-out.png")
    save(rgb, "apng.png", save_all=True, append_images=frames)
    save(palette, "still.gif")
    save(grey, "interlaced.gif", interlace=1)
    save(rgb, "moving.gif", save_all=True, append_images=frames)
    save(rgb, "lossy.webp", quality=70)
    save(alpha, "alpha.webp", quality=70)
    save(alpha, "lossless.webp", lossless=True)
    save(rgb, "moving.webp", save_all=True, append_images=frames)
    for name, picture in [("L", grey), ("P", palette), ("RGB", rgb)]:
        save(picture, f"{name}.bmp")
    for compression in ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"]:
        save(rgb, f"{compression}.tif", compression=compression)
    save(rgb, "pages.tif", save_all=True, append_images=[turned, grey], compression="tiff_lzw")
    source.unlink()
