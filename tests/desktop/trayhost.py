#!/usr/bin/python3
"""trayhost.py: what a panel is to programs with a tray icon, a `org.kde.StatusNotifierWatcher`, without drawing anything.

Prints `ready` once programs can register. Runs until it is killed.

trayhost.py menu [LABEL...]: asks the program that registered, as a panel does when its icon is pressed, and prints what
it answers as JSON: `{"title", "hint", "icon", "menu"}`, the icon as a checksum, the menu as a list of
`{"label", "enabled", "menu"}`. With labels it clicks what they lead to.

trayhost.py press: presses that program's icon.
"""

import hashlib
import json
import sys

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

WATCHER = "org.kde.StatusNotifierWatcher"
PATH = "/StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
PROPERTIES = "org.freedesktop.DBus.Properties"
INTERFACE = """<node><interface name='org.kde.StatusNotifierWatcher'>
<method name='RegisterStatusNotifierItem'><arg type='s' direction='in'/></method>
<method name='RegisterStatusNotifierHost'><arg type='s' direction='in'/></method>
<property name='RegisteredStatusNotifierItems' type='as' access='read'/>
<property name='IsStatusNotifierHostRegistered' type='b' access='read'/>
<property name='ProtocolVersion' type='i' access='read'/>
<signal name='StatusNotifierItemRegistered'><arg type='s'/></signal>
</interface></node>"""


def host() -> None:
    items: list[str] = []

    def on_call(connection, sender, _path, _interface, method, arguments, invocation):
        if method == "RegisterStatusNotifierItem":
            (name,) = arguments.unpack()
            items.append(sender + name if name.startswith("/") else name + "/StatusNotifierItem")
            signal = GLib.Variant("(s)", (items[-1],))
            connection.emit_signal(None, PATH, WATCHER, "StatusNotifierItemRegistered", signal)
        invocation.return_value(None)

    def on_get(_connection, _sender, _path, _interface, name):
        return {
            "RegisteredStatusNotifierItems": GLib.Variant("as", items),
            "IsStatusNotifierHostRegistered": GLib.Variant("b", True),
            "ProtocolVersion": GLib.Variant("i", 0),
        }[name]

    def on_bus(connection, _name):
        interface = Gio.DBusNodeInfo.new_for_xml(INTERFACE).interfaces[0]
        connection.register_object(PATH, interface, on_call, on_get, None)

    def on_name(_connection, _name):
        print("ready", flush=True)

    Gio.bus_own_name(Gio.BusType.SESSION, WATCHER, Gio.BusNameOwnerFlags.NONE, on_bus, on_name, None)
    GLib.MainLoop().run()


def call(name, path, interface, method, arguments):
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)
    return bus.call_sync(name, path, interface, method, arguments, None, 0, 5000, None).unpack()


def registered():
    """The bus name and the path of who registered last."""
    question = GLib.Variant("(ss)", (WATCHER, "RegisteredStatusNotifierItems"))
    (items,) = call(WATCHER, PATH, PROPERTIES, "Get", question)
    name, path = items[-1].split("/", 1)
    return name, "/" + path


def press() -> None:
    name, path = registered()
    call(name, path, ITEM, "Activate", GLib.Variant("(ii)", (0, 0)))


def menu(labels: list[str]) -> None:
    name, path = registered()
    (item,) = call(name, path, PROPERTIES, "GetAll", GLib.Variant("(s)", (ITEM,)))
    dbusmenu = "com.canonical.dbusmenu"
    call(name, item["Menu"], dbusmenu, "AboutToShow", GLib.Variant("(i)", (0,)))
    _revision, root = call(name, item["Menu"], dbusmenu, "GetLayout", GLib.Variant("(iias)", (0, -1, [])))

    def shown(children):
        lines = []
        for number, line, below in children:
            if line.get("type") == "separator":
                continue
            label = line.get("label", "").replace("__", "\0").replace("_", "").replace("\0", "_")
            lines.append({"id": number, "label": label, "enabled": line.get("enabled", True), "menu": shown(below)})
        return lines

    lines = shown(root[2])
    icon = hashlib.sha256(repr(item.get("IconPixmap")).encode()).hexdigest()
    print(json.dumps({"title": item["Title"], "hint": item["ToolTip"][3], "icon": icon, "menu": lines}))
    if labels:
        line = {"menu": lines}
        for label in labels:
            line = next(it for it in line["menu"] if it["label"] == label)
        event = GLib.Variant("(isvu)", (line["id"], "clicked", GLib.Variant("i", 0), 0))
        call(name, item["Menu"], dbusmenu, "Event", event)


if sys.argv[1:2] == ["menu"]:
    menu(sys.argv[2:])
elif sys.argv[1:2] == ["press"]:
    press()
else:
    host()
