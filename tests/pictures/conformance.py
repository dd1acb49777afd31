#!/usr/bin/env python3
"""Holds the picture pipeline against other people's decoders, on their own test pictures.

For each file that Pillow (with pillow-heif) opens and whose format is accepted: dimensions after orientation are the
same, those learned from the first pieces of the file are too, and the thumbnail is like the one made from Pillow's
picture (structural similarity of luma over 0.9). Whatever it does not open, and what is not accepted, is refused with a reason. No file may take longer than 5 s of processor
time, end the program, or need more than 300 MiB: these have no exceptions. All others are in `EXPECTED`, with a reason
each; one that is not needed any more is a failure too.

Each picture has a process of its own on both sides, with a bound on its time, so that one that ends its program or
never ends does not hide the others.

usage: conformance.py [--all] THUMBNAILS DIRECTORY...

THUMBNAILS is the program of `cargo build -p imgn-thumbs --example thumbnails`. With `--all`, files without a fault
are listed too. Wants the packages pillow, pillow-heif and numpy. The pictures are in the source archives of both,
`Tests/images` and `tests/images`; `cargo xtask conformance` fetches them.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pillow_heif
from PIL import Image, ImageOps

SECONDS = 5
MEMORY_MIB = 300
SIMILARITY = 0.9
# What is killed: a process that takes this many times the seconds by the clock, or Pillow's with more memory.
PATIENCE = 6
PILLOW_MEMORY = 4 << 30
# What is accepted, in Pillow's words. MPO is JPEG with further pictures behind the first.
ACCEPTED = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "HEIF")
# What shows through transparent pixels, as in `imgn_thumbs::GROUND`.
GROUND = (0xD6, 0xD6, 0xD6)

# What the two differ in.
REFUSED = "refused"
PUBLISHED = "published"
UNLIKE = "unlike"
DETAILS = "details"
# Where they may differ and why, by the ends of paths.
EXPECTED = {
    (REFUSED, "a frame of the animation is missing or out of order; what is published is whole"): (
        "apng/chunk_no_fdat.png",
        "apng/chunk_repeat_fctl.png",
        "apng/sequence_fdat_fctl.png",
        "apng/sequence_gap.png",
        "apng/sequence_reorder.png",
        "apng/sequence_reorder_chunk.png",
        "apng/sequence_repeat.png",
        "apng/sequence_repeat_chunk.png",
        "apng/sequence_start.png",
        "apng/syntax_num_frames_high.png",
    ),
    (REFUSED, "it announces more frames than a limit allows"): (
        "apng/syntax_num_frames_invalid.png",
    ),
    (REFUSED, "the collection that it is of says that it is broken"): (
        "bmp/b/badplanes.bmp",
        "bmp/b/badrle.bmp",
        "bmp/b/rletopdown.bmp",
    ),
    (REFUSED, "scan data are damaged, and Pillow shows the damage"): (
        "hopper_bad_exif.jpg",
    ),
    (REFUSED, "it has no colours; Pillow makes up greys"): (
        "no_palette.gif",
        "no_palette_after_rgb.gif",
    ),
    (REFUSED, "two files in one, the first without its end"): (
        "test_extents_transparency.gif",
    ),
    (REFUSED, "a way to compress that other readers of TIFF do not take either"): (
        "hopper_lzma.tif",
        "old-style-jpeg-compression-no-samplesperpixel.tif",
        "old-style-jpeg-compression.tif",
    ),
    (REFUSED, "pictures laid over each other are not accepted"): (
        "heif_other/nokia/alpha.heic",
    ),
    (REFUSED, "it is cut off; Pillow takes what is there"): (
        "heif_truncated/truncated.heic",
    ),
    (PUBLISHED, "a variant that Pillow does not have"): (
        "bmp/g/rgb32bf.bmp",
        "bmp/q/pal2.bmp",
        "bmp/q/rgb16-231.bmp",
        "bmp/q/rgb32-111110.bmp",
        "bmp/q/rgba16-4444.bmp",
        "hopper_unknown_pixel_mode.tif",
    ),
    (PUBLISHED, "only metadata beside the picture are too large or broken, which are not read"): (
        "png_decompression_dos.png",
        "unknown_compression_method.png",
    ),
    (PUBLISHED, "a tag about its chroma is wrong; the tiles are JPEG and say it themselves"): (
        "tiff_tiled_jpeg_oob_read.tif",
    ),
    (UNLIKE, "white is 1 in floating point, not 255"): (
        "10ct_32bit_128.tiff",
    ),
    (UNLIKE, "white is the largest number of 32 bits, not of 16"): (
        "16_bit_binary_pgm.tiff",
    ),
    (UNLIKE, "Pillow turns by XMP, which no browser does when it shows the file"): (
        "avif/xmp_tags_orientation.avif",
        "xmp_tags_orientation.png",
        "xmp_tags_orientation_exiftool.png",
    ),
    (UNLIKE, "Pillow turns by EXIF in ImageMagick's text chunk, which no browser does when it shows the file"): (
        "exif_imagemagick_orientation.png",
    ),
    (UNLIKE, "every pixel has no opacity: then opacity is not meant"): (
        "rgb32bf-abgr.bmp",
    ),
    (UNLIKE, "one pixel high: all of it is an edge, of which JPEG keeps little"): (
        "imagedraw_polygon_1px_high.png",
        "imagedraw_polygon_1px_high_translucent.png",
    ),
    (UNLIKE, "Pillow shows the thumbnail, since a tile of the main picture has a number it takes for wrong"): (
        "heif_other/invalid_id.heic",
    ),
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
    if picture.mode.startswith("I"):
        values = numpy.asarray(picture).astype(numpy.float64)
        grey = Image.fromarray((values / 257).clip(0, 255).astype(numpy.uint8)).convert("RGB")
        through = picture.info.get("transparency")
        if through is not None:
            grey.paste(GROUND, mask=Image.fromarray((values == through).astype(numpy.uint8) * 255))
        return grey
    if "transparency" in picture.info or picture.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, GROUND + (255,))
        return Image.alpha_composite(ground, layer).convert("RGB")
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
    timer = threading.Timer(SECONDS * PATIENCE, process.kill)
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    # It was waited for already.
    process.returncode = os.waitstatus_to_exitcode(status)
    answer = {"seconds": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024}
    if status != 0:
        return answer | {"fault": f"ended with {process.returncode}"}
    return answer | json.loads(output.read_text())


def compare(path, answer):
    """The kind of difference to Pillow, nothing if there is none, and words about it."""
    format, picture = reference(path)
    if answer["error"] is None and answer["details"] != [answer[what] for what in ("format", "width", "height")]:
        return DETAILS, f"{answer['details']}; decoding tells {answer['format']} {answer['width']} x {answer['height']}"
    if answer["error"] is not None:
        if format not in ACCEPTED:
            return None, f"refused: {answer['error']}"
        return REFUSED, f"{answer['error']}; Pillow opens it as {format}"
    if format is None:
        return PUBLISHED, f"as {answer['format']}; Pillow: {picture[:100]}"
    if (answer["width"], answer["height"]) != picture.size:
        return UNLIKE, f"{answer['width']} x {answer['height']}; Pillow's is {picture.size[0]} x {picture.size[1]}"
    with Image.open(answer["thumb"]) as thumbnail:
        thumbnail.load()
    alike = similarity(thumbnail, picture.resize(thumbnail.size, Image.Resampling.LANCZOS))
    return (None if alike > SIMILARITY else UNLIKE), f"similarity {alike:.3f}"


def compare_apart(path, answer):
    """`compare` in a process of its own."""

    def run(sink):
        resource.setrlimit(resource.RLIMIT_AS, (PILLOW_MEMORY, PILLOW_MEMORY))
        # What C libraries complain of is no news here.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sink.send(compare(path, answer))

    source, sink = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=run, args=(sink,))
    process.start()
    sink.close()
    try:
        if source.poll(SECONDS * PATIENCE):
            return source.recv()
        found = "Pillow did not end"
    except EOFError:
        found = "Pillow's process ended"
    finally:
        process.kill()
        process.join()
    # Nothing to compare with: as if it did not open it.
    if answer["error"] is not None:
        return None, f"refused: {answer['error']}; {found}"
    return PUBLISHED, f"as {answer['format']}; {found}"


def beyond_bounds(answer):
    """What no picture may do; nothing if it did not."""
    if "fault" in answer:
        return answer["fault"]
    if answer["seconds"] > SECONDS:
        return f"took {answer['seconds']:.1f} s"
    if answer["mib"] > MEMORY_MIB:
        return f"took {answer['mib']:.0f} MiB"
    if answer["error"] == "":
        return "refused without a reason"
    return None


def excuse(kind, path):
    """The exception that holds for a file, and why; nothing and nothing if there is none."""
    for (excused, why), ends in EXPECTED.items():
        for end in ends:
            if excused == kind and path.as_posix().endswith(f"/{end}"):
                return end, why
    return None, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("program", metavar="THUMBNAILS", type=Path)
    parser.add_argument("directories", metavar="DIRECTORY", nargs="+", type=Path)
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    pillow_heif.register_heif_opener()
    files = [
        path.resolve()
        for directory in arguments.directories
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    ]
    if not files:
        sys.exit("there are no pictures")
    counts = {"alike": 0, "refused": 0, "expected": 0, "wrong": 0}
    unused = {end for ends in EXPECTED.values() for end in ends}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        # All of ours before any of Pillow's: what this process holds would be counted as the program's.
        answers = list(pool.map(lambda job: ours(program, job[1], Path(scratch) / str(job[0])), enumerate(files)))
        verdicts = pool.map(lambda job: None if beyond_bounds(job[1]) else compare_apart(*job), zip(files, answers))
        for path, answer, difference in zip(files, answers, verdicts):
            kind, words = difference or ("beyond bounds:", beyond_bounds(answer))
            end, why = excuse(kind, path)
            if kind is None:
                verdict = "refused" if answer["error"] else "alike"
            elif end is not None:
                verdict, words = "expected", f"{kind} {words} ({why})"
                unused.discard(end)
            else:
                verdict, words = "wrong", f"{kind} {words}"
            counts[verdict] += 1
            if verdict == "wrong" or arguments.all:
                cost = f"{answer['seconds']:.2f} s, {answer['mib']:.0f} MiB"
                print(f"{verdict:9}{path}: {words} [{cost}]", flush=True)
    for end in sorted(unused):
        print(f"wrong    {end} is no exception any more")
    print(f"{len(files)} files: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    slowest = max(answer["seconds"] for answer in answers)
    largest = max(answer["mib"] for answer in answers)
    print(f"at most {slowest:.2f} s of processor time and {largest:.0f} MiB for one")
    sys.exit(1 if counts["wrong"] or unused else 0)


if __name__ == "__main__":
    main()
