"""Thorn's published benchmark: which copies of photographs do PDQ, pHash and hashwarden find, by transform, and what do they take for another?

Usage: thorn.py [--photographs N] [--side PIXELS] [--missed] BINARY PROTO_DIR PHOTOS, where PHOTOS is a folder of photographs, each of something
else. `make bench-thorn PHOTOS=DIR OPTIONS="--side 256"` runs it. Prints a table in Markdown.

The benchmark is that of Thorn's `perception` package (docs/examples/benchmarking.rst) and runs through its code: `perception` makes the copies,
each a JPEG made from the unaltered JPEG (`noop`), and takes PDQ and 16x16 pHash. For each transform it picks the largest distance at which the
precision is still 99.99 %, knowing which answers are right; no service can set a threshold that way. PDQ is also shown at 31 bits, its usual
threshold.

The published tables were made with imgaug, which fails with NumPy 2. Today's listing names albumentations' transforms, but some of its arguments
mean something else there: gamma_limit=2 is a gamma of 0.01 to 0.02, percent=(0.2, 2) pads each side by 20 to 200 % at random, sigma_limit=2.0
blurs by any sigma up to 2, quality=95 is ignored, and noise_scale_factor=0.2 makes the noise coarser, at a random strength of 0.2 to 0.44. So the
transforms here are albumentations' at the fixed strengths of the first listing: pad0.2 adds 20 % of the height in black above and below,
crop0.05 takes 5 % off each side, noise0.2 is grey, rotate4 keeps the frame and fills the corners with black. resize0.5 stands in the published
tables alone. The first listing scaled every photograph to 256 pixels beforehand, today's does not; `--side 256` does.

Ours is the service itself, over gRPC with its default configuration: the PDQ hashes of the unaltered JPEGs, as `hashwarden hash` prints them,
stand in two lists, half of them in each, and every copy is looked up in both, so that it is a stranger to one of them. It is found if its own
entry matches. A match with any other entry is false. "whole" looks up the whole picture alone (8 transforms), "views" every class of views too, at
31 bits as by default, or at 39. Times are medians of calls one after another, from sending the file to having its verdict.
"""

import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# Neither progress bars nor a look on the internet for a newer version.
os.environ |= {"TQDM_DISABLE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}

import albumentations
import cv2
import grpc
import numpy
from perception import benchmarking, hashers
from perception.benchmarking.common import compute_threshold_precision_recall

PRECISION = 99.99
RADIUS = 31
CLASSES = ("extended", "window", "turned")
# What a list is made with beside its name: nothing, or the widest radius that a class can have.
POLICIES = {
    "views": [],
    "views at 39": [option for kind in CLASSES for option in ("--view-radius", f"{kind}=39")],
}
BITS = 256
HASHERS = {"phash": hashers.PHash(hash_size=16), "pdq": hashers.PDQHash()}


def watermark(image):
    """Translucent black letters in the lower left corner, a fifth of the width, as published."""
    (width, height), _ = cv2.getTextSize("TEST", cv2.FONT_HERSHEY_SIMPLEX, 5, 5)
    scale = 0.2 * image.shape[1] / width
    at = int(height * scale), int(image.shape[0] - height * scale)
    letters = numpy.zeros((*image.shape[:2], 4), numpy.uint8)
    letters = cv2.putText(letters, "TEST", at, cv2.FONT_HERSHEY_SIMPLEX, 5 * scale, (0, 0, 0, 200), 5)
    return (image * (255.0 - letters[..., 3:]) / 255).astype(numpy.uint8)


def vignette(image):
    """Darker to the edges by a Gaussian whose sigma is half the side, as published."""
    down, along = (cv2.getGaussianKernel(side, side / 2) for side in image.shape[:2])
    light = down * along.T
    return (image * (light / light.max())[..., None]).astype(numpy.uint8)


def transforms(side):
    """The published names, in the order of the table; `noop` is what the others start from."""
    made = {
        "noop": albumentations.LongestMaxSize(side, interpolation=cv2.INTER_AREA) if side else albumentations.NoOp(),
        "blur2": albumentations.GaussianBlur(blur_limit=0, sigma_limit=(2, 2)),
        "crop0.05": albumentations.CropAndPad(percent=-0.05, keep_size=False),
        "gamma2": albumentations.RandomGamma(gamma_limit=(200, 200)),
        "jpeg95": albumentations.ImageCompression(quality_range=(95, 95)),
        "noise0.2": albumentations.GaussNoise(std_range=(0.2, 0.2), per_channel=False),
        "pad0.2": albumentations.CropAndPad(percent=((0.2, 0.2), (0, 0), (0.2, 0.2), (0, 0)), keep_size=False, fill=0),
        "resize0.5": albumentations.RandomScale(scale_limit=(-0.5, -0.5), interpolation=cv2.INTER_AREA),
        "rotate4": albumentations.Affine(rotate=(4, 4), fill=0),
        "vignette": vignette,
        "watermark": watermark,
    }
    for transform in made.values():
        if isinstance(transform, albumentations.BasicTransform):
            transform.p = 1
            transform.set_random_seed(1)
    return made


def photographs(folder, number):
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(files) < 2:
        sys.exit(f"{folder}: at least two photographs are needed, as .jpg, .jpeg or .png; there are {len(files)}")
    # Evenly spread, as neighbours are often alike.
    return files if len(files) <= number else [files[at * len(files) // number] for at in range(number)]


class Service:
    """hashwarden on a free port of the loopback interface, with an embedded store in `folder`."""

    def __init__(self, binary, proto_dir, folder):
        self.messages, self.verdicts, services = stubs(proto_dir, folder)
        self.binary = binary
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("HASHWARDEN__")}
        environment = self.environment | {f"HASHWARDEN__{section}__LISTEN": "127.0.0.1:0" for section in ("GRPC", "OPERATOR")}
        self.log = open(folder / "log", "w+")
        serve = [binary, "serve", "--store", folder / "store"]
        self.process = subprocess.Popen(serve, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=self.log, text=True)
        said = self.process.stdout.readline()
        if not said.startswith("gRPC on "):
            self.log.seek(0)
            sys.exit(f"hashwarden did not start: {said}{self.log.read()}")
        self.address = said.removeprefix("gRPC on ").split(",")[0]
        self.channel = grpc.insecure_channel(self.address)
        self.matching = services.MatchServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def run(self, *arguments):
        done = subprocess.run([self.binary, *arguments], stdout=subprocess.PIPE, env=self.environment, text=True)
        if done.returncode != 0:
            sys.exit(f"hashwarden {arguments[0]} {arguments[1]} failed with {done.returncode}")
        return done.stdout

    def list(self, name, entries, policy, folder):
        """`entries`: id and PDQ hash."""
        rows = folder / f"{name}.csv"
        with rows.open("w", newline="") as file:
            csv.writer(file).writerows([("id", "pdq"), *entries])
        here = ("--endpoint", f"http://{self.address}")
        self.run("list", "create", name, *policy, *here)
        self.run("list", "import", name, str(rows), *here)

    def match(self, image, lists, views):
        """The matches, and how many milliseconds it took."""
        item = self.messages.MatchItem(image=image, lists=lists, views=views)
        began = time.perf_counter()
        verdict = self.matching.Match(self.messages.MatchRequest(item=item)).result.verdict
        took = (time.perf_counter() - began) * 1e3
        # Low quality is a fair answer.
        if verdict.left_out or verdict.views.cut or verdict.reason not in (0, self.verdicts.REASON_LOW_QUALITY):
            sys.exit(f"a copy was not scanned whole: {verdict}")
        return verdict.matches, took


def stubs(proto_dir, folder):
    from grpc_tools import protoc

    include = pathlib.Path(protoc.__file__).parent / "_proto"
    files = sorted(str(path) for path in proto_dir.rglob("*.proto"))
    if protoc.main(["protoc", f"-I{proto_dir}", f"-I{include}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files]) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, str(folder))
    from hashwarden.v1 import match_service_pb2, match_service_pb2_grpc, verdict_pb2

    return match_service_pb2, verdict_pb2, match_service_pb2_grpc


class Column:
    """What one way of matching found of one transform's copies."""

    def __init__(self, found, false, copies, bits=None, took=()):
        self.found, self.false, self.copies, self.bits, self.took = int(found), int(false), copies, bits, list(took)

    def __add__(self, other):
        return Column(self.found + other.found, self.false + other.false, self.copies + other.copies, self.bits, self.took + other.took)

    def __str__(self):
        return f"{100 * self.found / self.copies:.1f}" + ("" if self.bits is None else f" ({self.bits})")


def peers(metrics):
    """pHash and PDQ at the thresholds that perception picks, and PDQ at 31 bits."""

    def distances(hasher):
        rows = metrics[metrics["hasher_name"] == hasher]
        return (rows[f"distance_to_closest_{which}_image"].to_numpy() for which in ("correct", "incorrect"))

    def within(limit, right, wrong, bits=None):
        return Column((right <= limit).sum(), (wrong <= limit).sum(), len(right), bits)

    columns = []
    for hasher in HASHERS:
        right, wrong = distances(hasher)
        threshold, _, recall = compute_threshold_precision_recall(pos=right, neg=wrong, precision_threshold=PRECISION)
        # Recall 0: the nearest match is a false one, so that no threshold will do.
        columns.append(within(threshold, right, wrong, round(threshold * BITS)) if recall else Column(0, 0, len(right), "none"))
    return [*columns, within((RADIUS + 0.5) / BITS, *distances("pdq"))]


def ours(service, copies, lists, views, missed):
    """`copies`: a file by the entry that it is a copy of. `missed` takes the entries not found."""
    found, false, took = 0, 0, []
    for entry, file in copies.items():
        matches, ms = service.match(pathlib.Path(file).read_bytes(), lists, views)
        took.append(ms)
        right = any(match.entry_id == entry for match in matches)
        found += right
        false += any(match.entry_id != entry for match in matches)
        if not right:
            missed.append(entry)
    return Column(found, false, len(copies), took=took)


def fill(service, unaltered, folder):
    """The lists of each policy; and whether the service finds what is in them."""
    told = map(json.loads, service.run("hash", "--json", *unaltered.values()).splitlines())
    entries = [(entry, line["pdq"]) for entry, line in zip(unaltered, told, strict=True)]
    lists = {policy: [f"{policy} {half}".replace(" ", "-") for half in ("even", "odd")] for policy in POLICIES}
    for policy, names in lists.items():
        for half, name in enumerate(names):
            service.list(name, entries[half::2], POLICIES[policy], folder)
    for entry, file in unaltered.items():
        matches, _ = service.match(pathlib.Path(file).read_bytes(), lists["views"], service.messages.VIEW_SET_WHOLE)
        if (entry, 0) not in [(match.entry_id, match.distance) for match in matches]:
            sys.exit(f"{entry}: the service does not find the unaltered photograph; if it is nearly blank, leave it out")
    return lists


def main():
    parser = argparse.ArgumentParser(description="Thorn's published benchmark: PDQ, pHash and hashwarden on altered copies of photographs.")
    parser.add_argument("--photographs", type=int, default=100, metavar="N", help="take so many of the folder's (default: 100)")
    parser.add_argument("--side", type=int, metavar="PIXELS", help="scale the longer side to this before altering; 256 is as first published")
    parser.add_argument("--missed", action="store_true", help="name the photographs whose copies are missed, on standard error")
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("proto_dir", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path, metavar="PHOTOS")
    options = parser.parse_args()
    root = options.folder.resolve()
    files = photographs(root, options.photographs)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        dataset = benchmarking.BenchmarkImageDataset.from_tuples([(str(file), "photographs") for file in files])
        made = dataset.transform(transforms(options.side), storage_dir=str(folder / "copies"), errors="raise")
        metrics = made.compute_hashes(HASHERS, max_workers=os.cpu_count()).compute_metrics()
        table = made._df
        unaltered = table[table["transform_name"] == "noop"]
        entry_of = {guid: os.path.relpath(file, root) for guid, file in zip(unaltered["guid"], unaltered["input_filepath"], strict=True)}
        copies = {
            name: {entry_of[guid]: file for guid, file in zip(some["guid"], some["filepath"], strict=True)}
            for name, some in table.groupby("transform_name", sort=False)
        }
        rows = {}
        with Service(options.binary.resolve(), options.proto_dir.resolve(), folder) as service:
            lists, request = fill(service, copies["noop"], folder), service.messages
            ways = [("views", request.VIEW_SET_WHOLE), *((policy, request.VIEW_SET_ALL) for policy in POLICIES)]
            for name in copies:
                rows[name] = peers(metrics[metrics["transform_name"] == name])
                for policy, views in ways:
                    missed = []
                    rows[name].append(ours(service, copies[name], lists[policy], views, missed))
                    if options.missed and missed and views == request.VIEW_SET_ALL:
                        print(f"{name}, missed in {policy}:", *missed, sep="\n  ", file=sys.stderr)
    altered = [columns for name, columns in rows.items() if name != "noop"]
    together = peers(metrics[metrics["transform_name"] != "noop"])
    rows["all ten"] = together + [sum(column[1:], column[0]) for column in zip(*(columns[len(together) :] for columns in altered), strict=True)]
    show(rows, len(files))


def show(rows, number):
    heads = ["pHash (bits)", "PDQ (bits)", f"PDQ at {RADIUS}", "ours, whole", *(f"ours, {policy}" for policy in POLICIES)]
    print(f"Percent found of {number} photographs' copies (the bits are the threshold that perception picks); false matches, in the order of the")
    print("columns; milliseconds a file, of our three.\n")
    print("| transform |", " | ".join(heads), "| false matches | ms |")
    print("|---|" + "---|" * (len(heads) + 2))
    for name, columns in rows.items():
        false = " / ".join(str(column.false) for column in columns)
        took = " / ".join(f"{statistics.median(column.took):.1f}" for column in columns if column.took)
        print(f"| {name} |", " | ".join(map(str, columns)), f"| {false} | {took} |")


main()
