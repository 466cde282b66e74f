"""Pillow and pdqhash, measured beside ours: see benches/images, which calls this.

peer_images.py FOLDER ROW.EXTENSION...: FOLDER has ROW-SEED.jpg, or ROW-SEED.png that are first encoded as EXTENSION says. Prints one JSON line:
for each row and file the median of the CPU time that `pdq_from_bytes` takes, in ms, and the hash. A row whose format Pillow can't write here yields
{"skipped": reason}.
"""

import glob
import importlib
import json
import os
import statistics
import sys
import time
from importlib import metadata

from PIL import Image
from threatexchange.signal_type.pdq.pdq_hasher import pdq_from_bytes

PASSES = 5
# Encoders' options where their defaults are not what a camera or a platform writes.
QUALITY = {"webp": {"quality": 85}, "heic": {"quality": 85}, "avif": {"quality": 75}, "jxl": {"quality": 85}}
# Where Pillow needs a package for a format.
PLUGINS = {"heic": "pillow_heif", "jxl": "pillow_jxl"}


def encode(folder, row, extension):
    """The row's files."""
    if extension in PLUGINS:
        plugin = importlib.import_module(PLUGINS[extension])
        if extension == "heic":
            plugin.register_heif_opener()
    if extension not in ("jpg", "png"):
        for path in glob.glob(f"{folder}/{row}-*.png"):
            with Image.open(path) as picture:
                picture.save(os.path.splitext(path)[0] + "." + extension, **QUALITY[extension])
    return sorted(glob.glob(f"{folder}/{row}-*.{extension}"))


def measured(path):
    with open(path, "rb") as file:
        content = file.read()
    took = []
    for _ in range(PASSES):
        before = time.process_time()
        found = pdq_from_bytes(content)
        took.append(time.process_time() - before)
    return {"ms": statistics.median(took) * 1e3, "pdq": found[0]}


def main(folder, *rows):
    told = []
    for row in rows:
        number, extension = row.split(".")
        try:
            files = encode(folder, number, extension)
        except (ImportError, KeyError, OSError, ValueError) as error:
            told.append({"skipped": f"Pillow can't write it here ({error})"})
            continue
        told.append({"files": [measured(path) for path in files]})
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("pillow", "pdqhash", "threatexchange"))
    json.dump({"packages": packages, "rows": told}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
