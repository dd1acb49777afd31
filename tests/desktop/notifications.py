#!/usr/bin/python3
"""notifications.py: what a desktop is to programs with something to say, an `org.freedesktop.Notifications`, without drawing.

Prints `ready` once it can be spoken to, and to standard error a JSON object a line of what it is told:
`{"id", "app", "summary", "body", "actions", "picture"}`, the app by its desktop file, the picture as the bytes of its file, or `{"closed": id}`.
Runs until it is killed.

notifications.py press ID ACTION: as if somebody had pressed that.
notifications.py dismiss ID: as if somebody had taken it away.
"""

import json
import os
import sys
from urllib.parse import unquote, urlparse

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
INTERFACE = """<node><interface name='org.freedesktop.Notifications'>
<method name='GetCapabilities'><arg type='as' direction='out'/></method>
<method name='Notify'>
  <arg type='s' direction='in'/><arg type='u' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/>
  <arg type='s' direction='in'/><arg type='as' direction='in'/><arg type='a{sv}' direction='in'/>
  <arg type='i' direction='in'/><arg type='u' direction='out'/>
</method>
<method name='CloseNotification'><arg type='u' direction='in'/></method>
<method name='Press'><arg type='u' direction='in'/><arg type='s' direction='in'/></method>
<method name='Dismiss'><arg type='u' direction='in'/></method>
<signal name='NotificationClosed'><arg type='u'/><arg type='u'/></signal>
<signal name='ActionInvoked'><arg type='u'/><arg type='s'/></signal>
</interface></node>"""


def say(words: dict) -> None:
    print(json.dumps(words), file=sys.stderr, flush=True)


def serve() -> None:
    last = 0

    def on_call(connection, _sender, _path, _interface, method, arguments, invocation):
        nonlocal last
        answer = None
        if method == "GetCapabilities":
            answer = GLib.Variant("(as)", (["actions", "body", "body-markup"],))
        elif method == "Notify":
            _app, _replaces, _icon, summary, body, actions, hints, _expire = arguments.unpack()
            last += 1
            picture = urlparse(hints.get("image-path", ""))
            size = os.path.getsize(unquote(picture.path)) if picture.scheme == "file" else 0
            app = hints.get("desktop-entry")
            say({"id": last, "app": app, "summary": summary, "body": body, "actions": actions, "picture": size})
            answer = GLib.Variant("(u)", (last,))
        elif method == "CloseNotification":
            (number,) = arguments.unpack()
            say({"closed": number})
            connection.emit_signal(None, PATH, NAME, "NotificationClosed", GLib.Variant("(uu)", (number, 3)))
        elif method == "Dismiss":
            closed = GLib.Variant("(uu)", (arguments.unpack()[0], 2))
            connection.emit_signal(None, PATH, NAME, "NotificationClosed", closed)
        elif method == "Press":
            connection.emit_signal(None, PATH, NAME, "ActionInvoked", arguments)
        invocation.return_value(answer)

    def on_bus(connection, _name):
        interface = Gio.DBusNodeInfo.new_for_xml(INTERFACE).interfaces[0]
        connection.register_object(PATH, interface, on_call, None, None)

    def on_name(_connection, _name):
        print("ready", flush=True)

    Gio.bus_own_name(Gio.BusType.SESSION, NAME, Gio.BusNameOwnerFlags.NONE, on_bus, on_name, None)
    GLib.MainLoop().run()


if sys.argv[1:2] == ["press"]:
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)
    pressed = GLib.Variant("(us)", (int(sys.argv[2]), sys.argv[3]))
    bus.call_sync(NAME, PATH, NAME, "Press", pressed, None, 0, 5000, None)
elif sys.argv[1:2] == ["dismiss"]:
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)
    bus.call_sync(NAME, PATH, NAME, "Dismiss", GLib.Variant("(u)", (int(sys.argv[2]),)), None, 0, 5000, None)
else:
    serve()
