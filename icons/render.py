#!/usr/bin/python3
"""Renders imgn.svg to the PNG files beside it. Needs python3-gi and librsvg2-common; run it after a change of the SVG."""

from pathlib import Path

import gi

gi.require_version("GdkPixbuf", "2.0")
from gi.repository import GdkPixbuf  # noqa: E402

HERE = Path(__file__).parent
NAMES = {32: "32x32.png", 128: "128x128.png", 256: "128x128@2x.png", 512: "icon.png"}

for size, name in NAMES.items():
    picture = GdkPixbuf.Pixbuf.new_from_file_at_size(str(HERE / "imgn.svg"), size, size)
    picture.savev(str(HERE / name), "png", [], [])
