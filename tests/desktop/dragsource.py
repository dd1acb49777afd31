#!/usr/bin/python3
"""dragsource.py X Y FILE...: a small window at X, Y from which the files can be dragged, as from a file browser.

Prints `ready` to standard output once it can be pressed, and what becomes of the drag to standard error, a line each:
`begin`, `data`, `end ACTION` or `failed REASON`. Runs until it is killed.
"""

import sys

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, GLib, Gtk  # noqa: E402


def main() -> None:
    x, y, files = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    uris = [GLib.filename_to_uri(file) for file in files]

    handle = Gtk.EventBox()
    handle.add(Gtk.Label(label="drag me"))
    handle.drag_source_set(Gdk.ModifierType.BUTTON1_MASK, [], Gdk.DragAction.COPY)
    handle.drag_source_add_uri_targets()
    handle.connect("drag-begin", lambda *_: say("begin"))
    handle.connect("drag-data-get", lambda _widget, _context, data, *_: (data.set_uris(uris), say("data")))
    handle.connect("drag-end", lambda _widget, context: say(f"end {context.get_selected_action().value_nicks}"))
    handle.connect("drag-failed", lambda _widget, _context, reason: say(f"failed {reason.value_nick}"))

    window = Gtk.Window(title="dragsource")
    window.set_default_size(120, 80)
    window.set_decorated(False)
    window.set_keep_above(True)
    window.connect("map-event", lambda *_: print("ready", flush=True))
    window.add(handle)
    window.show_all()
    window.move(x, y)
    Gtk.main()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


main()
