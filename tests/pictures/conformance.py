#!/usr/bin/env python3
"""Holds the picture pipeline against other people's decoders, on their own test pictures.

For each file that Pillow (with pillow-heif) opens and whose format is accepted: dimensions after orientation are the
same, and the thumbnail is like the one made from Pillow's picture (structural similarity of luma over 0.9). Whatever
it does not open, and what is not accepted, is refused with a reason. No file may take longer than 5 s, end the
program, or need more than 300 MiB.

usage: conformance.py THUMBNAILS DIRECTORY...

THUMBNAILS is the program of `cargo build --release -p imgn-thumbs --example thumbnails`. Wants the packages pillow,
pillow-heif and numpy. The pictures are in the source archives of both: `tests/images` and `Tests/images`.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy
import pillow_heif
from PIL import Image, ImageOps

SECONDS = 5
MEMORY_MIB = 300
SIMILARITY = 0.9
# Refusals that are no matter of decoding.
BY_RULE = (" pictures are not accepted", "is not a picture", "million are accepted", "are allowed for one")
# What shows through transparent pixels, as in `imgn_thumbs::GROUND`.
GROUND = (0xD6, 0xD6, 0xD6)
# Files on which the programs differ, and why ours is right, or which it may refuse. By name.
EXPECTED = {
    "invalid_id.heic": "Pillow shows the thumbnail, since a tile of the main picture has a number it takes for wrong",
    "truncated.heic": "Pillow takes what is there",
    "xmp_tags_orientation.avif": "Pillow turns by XMP; only `irot` and `imir` turn an AVIF",
}


def reference(path):
    """Pillow's picture, upright and on the ground; nothing if Pillow does not open it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                picture.load()
                format = picture.format
                # pillow-heif turns pictures itself, by what wins over EXIF.
                upright = picture if format == "HEIF" else ImageOps.exif_transpose(picture)
                return format, on_ground(upright)
    except Exception as error:
        return None, str(error)


def on_ground(picture):
    if "transparency" in picture.info or picture.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, GROUND + (255,))
        return Image.alpha_composite(ground, layer).convert("RGB")
    if picture.mode.startswith("I;16") or picture.mode == "I":
        values = numpy.asarray(picture).astype(numpy.float64)
        return Image.fromarray((values / 257).clip(0, 255).astype(numpy.uint8)).convert("RGB")
    return picture.convert("RGB")


def similarity(one, other):
    """The mean structural similarity of luma, in windows of 8 x 8 pixels, or of the picture if that is smaller."""
    one = numpy.asarray(one.convert("L"), dtype=numpy.float64)
    other = numpy.asarray(other.convert("L"), dtype=numpy.float64)
    window = [min(8, edge) for edge in one.shape]

    def mean(values):
        sums = numpy.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        high, wide = window
        total = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
        return total / (high * wide)

    mean_one, mean_other = mean(one), mean(other)
    variance_one = mean(one * one) - mean_one**2
    variance_other = mean(other * other) - mean_other**2
    covariance = mean(one * other) - mean_one * mean_other
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = ((2 * mean_one * mean_other + c1) * (2 * covariance + c2)) / (
        (mean_one**2 + mean_other**2 + c1) * (variance_one + variance_other + c2)
    )
    return float(index.mean())


def ours(program, path, directory):
    """What our program says, with seconds of processor time and MiB of memory; or why it says nothing."""
    directory.mkdir()
    listing, output = directory / "list", directory / "answer"
    listing.write_text(f"{path}\n")
    with output.open("wb") as sink:
        process = subprocess.Popen([program, listing, directory], stdout=sink)
    timer = threading.Timer(SECONDS * 4, process.kill)
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    if status != 0:
        return {"fault": f"ended with {os.waitstatus_to_exitcode(status)}"}
    answer = json.loads(output.read_text())
    answer["seconds"] = usage.ru_utime + usage.ru_stime
    answer["mib"] = usage.ru_maxrss / 1024
    return answer


def judge(path, answer, opened):
    """What is wrong, in words; nothing if all is well. And the similarity, if there are two pictures."""
    if "fault" in answer:
        return answer["fault"], None
    if answer["seconds"] > SECONDS:
        return f"took {answer['seconds']:.1f} s", None
    if answer["mib"] > MEMORY_MIB:
        return f"took {answer['mib']:.0f} MiB", None
    format, picture = opened
    if answer["error"] is not None:
        if format is None or any(words in answer["error"] for words in BY_RULE):
            return None, None
        return f"refused ({answer['error']}), Pillow opens it as {format}", None
    if format is None:
        return f"published as {answer['format']}, Pillow refuses it ({picture[:60]})", None
    if (answer["width"], answer["height"]) != picture.size:
        return f"{answer['width']} x {answer['height']}, Pillow's is {picture.size[0]} x {picture.size[1]}", None
    with Image.open(answer["thumb"]) as thumbnail:
        thumbnail.load()
    resized = picture.resize(thumbnail.size, Image.Resampling.LANCZOS)
    alike = similarity(thumbnail, resized)
    return (None if alike > SIMILARITY else f"similarity {alike:.3f}"), alike


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None
    program, *directories = sys.argv[1:]
    files = [
        path
        for directory in directories
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file()
    ]
    counts = {"alike": 0, "refused": 0, "expected": 0, "wrong": 0}
    most = (0, 0)
    with tempfile.TemporaryDirectory() as scratch:
        # All of ours before any of Pillow's: what this process holds would be counted as the program's.
        answers = [ours(program, path, Path(scratch) / str(number)) for number, path in enumerate(files)]
        for path, answer in zip(files, answers):
            opened = reference(path)
            wrong, alike = judge(path, answer, opened)
            if wrong is None:
                verdict = "refused" if alike is None else "alike"
                detail = answer.get("error") or f"{alike:.3f}"
            elif path.name in EXPECTED:
                verdict, detail = "expected", f"{wrong}: {EXPECTED[path.name]}"
            else:
                verdict, detail = "wrong", wrong
            counts[verdict] += 1
            most = (max(most[0], answer.get("seconds", 0)), max(most[1], answer.get("mib", 0)))
            print(f"{verdict:9} {path.name}: {detail}")
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    print(f"at most {most[0]:.2f} s and {most[1]:.0f} MiB")
    sys.exit(1 if counts["wrong"] else 0)


if __name__ == "__main__":
    main()
