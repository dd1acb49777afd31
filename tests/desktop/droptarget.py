#!/usr/bin/python3
"""droptarget.py X Y TARGET: a small window at X, Y that takes what is dropped on it as TARGET (`text/uri-list`, `text/plain`).

Prints `ready` to standard output once it is there, and what comes to standard error, a line each: `over`, then
`got JSON`, the dropped text. Runs until it is killed.
"""

import json
import sys

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, Gtk  # noqa: E402


def main() -> None:
    x, y, target = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    place = Gtk.EventBox()
    place.add(Gtk.Label(label="drop here"))
    entry = Gtk.TargetEntry.new(target, 0, 0)
    place.drag_dest_set(Gtk.DestDefaults.ALL, [entry], Gdk.DragAction.COPY)
    place.connect("drag-motion", lambda *_: (say("over"), False)[1])
    place.connect("drag-data-received", lambda _w, _c, _x, _y, data, *_: say(f"got {json.dumps(data.get_data().decode())}"))

    window = Gtk.Window(title="droptarget")
    window.set_default_size(160, 120)
    window.set_decorated(False)
    window.set_keep_above(True)
    window.connect("map-event", lambda *_: print("ready", flush=True))
    window.add(place)
    window.show_all()
    window.move(x, y)
    Gtk.main()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


main()
