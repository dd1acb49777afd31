#!/usr/bin/python3
"""From a click or a key to the link: desk.py SERVER ROUNDS, in a session with a tray's host and the app in its tray.

Prints one JSON object of milliseconds: `tray` and `key`, from the click or the press to the moment at which the X server
says that the clipboard has the link, and `bare`, what three requests of a script take for such a picture (open with a
signature, PUT, complete), which is the transfer and the server's verification. They take turns, each with a new picture of 1 MB.
"""
import hashlib
import http.client
import json
import os
import random
import struct
import subprocess
import sys
import time
import urllib.parse
import uuid
import zlib

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Gdk, Gio, GLib, Gtk  # noqa: E402

SERVER, ROUNDS = sys.argv[1], int(sys.argv[2])
LABEL = "Upload clipboard image"
PATIENCE_MS = 30_000
random.seed(1)


def picture():
    """A PNG of 1 MB that no other round has: noise, which does not get smaller."""
    width, height = 640, 520
    rows = b"".join(b"\0" + random.randbytes(3 * width) for _ in range(height))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


bus = Gio.bus_get_sync(Gio.BusType.SESSION)


def call(name, path, interface, method, arguments):
    return bus.call_sync(name, path, interface, method, arguments, None, 0, 5000, None).unpack()


def tray():
    """Who has the menu, and the number of the line that uploads what is on the clipboard."""
    properties = "org.freedesktop.DBus.Properties"
    watcher = "org.kde.StatusNotifierWatcher"
    question = GLib.Variant("(ss)", (watcher, "RegisteredStatusNotifierItems"))
    for _ in range(600):
        (items,) = call(watcher, "/StatusNotifierWatcher", properties, "Get", question)
        if items:
            break
        time.sleep(0.05)
    name, path = items[-1].split("/", 1)
    (item,) = call(name, "/" + path, properties, "GetAll", GLib.Variant("(s)", ("org.kde.StatusNotifierItem",)))
    layout = GLib.Variant("(iias)", (0, -1, []))
    _revision, root = call(name, item["Menu"], "com.canonical.dbusmenu", "GetLayout", layout)
    number = next(n for n, line, _ in root[2] if line.get("label", "").replace("_", "") == LABEL)
    return name, item["Menu"], number


clipboard = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD)
loop = GLib.MainLoop()
arrived = {}


def on_owner(_clipboard, _event):
    moment = time.perf_counter()

    def on_text(_clipboard, text):
        if text and text.startswith("!["):
            arrived[text] = moment
            loop.quit()

    clipboard.request_text(on_text)


clipboard.connect("owner-change", on_owner)


def copied(bytes_):
    xclip = ["xclip", "-selection", "clipboard", "-t", "image/png"]
    subprocess.run([*xclip, "-i"], input=bytes_, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    while subprocess.run([*xclip, "-o"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout != bytes_:
        pass
    while GLib.MainContext.default().iteration(False):
        pass


def linked(ready):
    copied(picture())
    arrived.clear()
    act = ready()
    timeout = GLib.timeout_add(PATIENCE_MS, loop.quit)
    start = time.perf_counter()
    act()
    loop.run()
    if not arrived:
        sys.exit("no link came onto the clipboard")
    GLib.source_remove(timeout)
    # The notification and the list come after the link; they are not in the way of the next.
    time.sleep(0.3)
    return (arrived.popitem()[1] - start) * 1000


def clicking():
    """What clicks. Lines have other numbers when the menu has changed, so it is read before, as a panel does."""
    name, menu, number = tray()
    event = GLib.Variant("(isvu)", (number, "clicked", GLib.Variant("i", 0), 0))
    return lambda: bus.call(name, menu, "com.canonical.dbusmenu", "Event", event, None, 0, -1, None, None)


# Started before, since starting takes longer than pressing; it presses when it is told to.
presser = subprocess.Popen(["xdotool", "-"], stdin=subprocess.PIPE, text=True)


def press():
    presser.stdin.write("key ctrl+alt+u\n")
    presser.stdin.flush()


place = urllib.parse.urlsplit(SERVER)
connection = http.client.HTTPConnection(place.hostname, place.port)


def ask(method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        sys.exit(f"{method} {path.split('?')[0]}: {answer.status} {text[:300]}")
    return text


def bare():
    bytes_ = picture()
    token = {"authorization": "Bearer " + os.environ["IMGN_TOKEN"], "content-type": "application/json"}
    start = time.perf_counter()
    upload = f"/v1/uploads/{uuid.uuid4()}"
    digest = hashlib.sha256(bytes_).hexdigest()
    body = {"file_name": "bare.png", "size": len(bytes_), "sha256": digest, "content_type": "image/png"}
    signed = json.loads(ask("PUT", f"{upload}?sign=true", json.dumps(body), token))["signed"]
    url = urllib.parse.urlsplit(signed["url"])
    headers = signed["headers"]
    ask(signed["method"], f"{url.path}?{url.query}", bytes_, headers if isinstance(headers, dict) else dict(headers))
    state = json.loads(ask("POST", f"{upload}/complete", '{"parts": []}', token))["state"]
    if state != "published":
        sys.exit(f"the script's upload is {state}")
    return (time.perf_counter() - start) * 1000


linked(clicking)
linked(lambda: press)
bare()
times = {"tray": [], "key": [], "bare": []}
for _ in range(ROUNDS):
    times["tray"].append(linked(clicking))
    times["key"].append(linked(lambda: press))
    times["bare"].append(bare())
presser.stdin.close()
print(json.dumps(times))
