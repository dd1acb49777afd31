#!/usr/bin/python3
"""portal.py MODE: what a Wayland desktop is to programs that want keys, `org.freedesktop.portal.GlobalShortcuts`.

Prints `ready` once it can be asked, and to standard error a JSON object a line of what it is asked:
`{"registered": app}`, `{"bound", "trigger", "description"}` and `{"closed": session}`. MODE says what it answers: `give`,
`refuse` as a person who closes its dialog, `keyless`, which knows the shortcut and has no key for it, or `unknown`, as
xdg-desktop-portal 1.21 does to a program whose desktop file it does not find. Runs until it is killed.

portal.py press: as if somebody had pressed the key. portal.py unset: as if somebody had taken it away in the desktop's
settings. portal.py close: as if the desktop had ended the sessions.
"""

import json
import sys

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

NAME = "org.freedesktop.portal.Desktop"
PATH = "/org/freedesktop/portal/desktop"
SHORTCUTS = "org.freedesktop.portal.GlobalShortcuts"
SESSION = "org.freedesktop.portal.Session"
INTERFACES = f"""<node>
<interface name='{SHORTCUTS}'>
<method name='CreateSession'><arg type='a{{sv}}' direction='in'/><arg type='o' direction='out'/></method>
<method name='BindShortcuts'>
  <arg type='o' direction='in'/><arg type='a(sa{{sv}})' direction='in'/><arg type='s' direction='in'/>
  <arg type='a{{sv}}' direction='in'/><arg type='o' direction='out'/>
</method>
<method name='ListShortcuts'>
  <arg type='o' direction='in'/><arg type='a{{sv}}' direction='in'/><arg type='o' direction='out'/>
</method>
<method name='Press'/>
<method name='Unset'/>
<method name='CloseAll'/>
<signal name='ShortcutsChanged'><arg type='o'/><arg type='a(sa{{sv}})'/></signal>
<signal name='Activated'><arg type='o'/><arg type='s'/><arg type='t'/><arg type='a{{sv}}'/></signal>
<property name='version' type='u' access='read'/>
</interface>
<interface name='org.freedesktop.host.portal.Registry'>
<method name='Register'><arg type='s' direction='in'/><arg type='a{{sv}}' direction='in'/></method>
</interface>
<interface name='{SESSION}'><method name='Close'/><signal name='Closed'><arg type='a{{sv}}'/></signal></interface>
</node>"""


def say(words: dict) -> None:
    print(json.dumps(words), file=sys.stderr, flush=True)


def serve(mode: str) -> None:
    node = Gio.DBusNodeInfo.new_for_xml(INTERFACES)
    shortcuts, registry, session_interface = node.interfaces
    bound: dict[str, list[tuple[str, dict]]] = {}

    def on_call(connection, sender, path, _interface, method, arguments, invocation):
        place = sender.lstrip(":").replace(".", "_")

        def answer(options, response, results):
            request = f"{PATH}/request/{place}/{options['handle_token']}"
            invocation.return_value(GLib.Variant("(o)", (request,)))
            words = GLib.Variant("(ua{sv})", (response, results))
            connection.emit_signal(sender, request, "org.freedesktop.portal.Request", "Response", words)

        if mode == "unknown" and method in ("Register", "CreateSession"):
            reason = "App info not found" if method == "Register" else "An app id is required"
            invocation.return_dbus_error("org.freedesktop.portal.Error.NotAllowed", reason)
        elif method == "Register":
            say({"registered": arguments.unpack()[0]})
            invocation.return_value(None)
        elif method == "CreateSession":
            (options,) = arguments.unpack()
            session = f"{PATH}/session/{place}/{options['session_handle_token']}"
            connection.register_object(session, session_interface, on_call, None, None)
            bound[session] = []
            answer(options, 0, {"session_handle": GLib.Variant("s", session)})
        elif method == "BindShortcuts":
            session, asked, _parent, options = arguments.unpack()
            given = []
            for name, about in asked:
                say({"bound": name, "trigger": about["preferred_trigger"], "description": about["description"]})
                trigger = about["preferred_trigger"] if mode == "give" else ""
                about = {key: GLib.Variant("s", about["description"]) for key in ["description"]}
                about["trigger_description"] = GLib.Variant("s", trigger)
                given.append((name, about))
            bound[session] = given
            answer(options, 1 if mode == "refuse" else 0, {"shortcuts": GLib.Variant("a(sa{sv})", given)})
        elif method == "Press":
            for session, given in bound.items():
                for name, _ in given:
                    words = GLib.Variant("(osta{sv})", (session, name, 0, {}))
                    connection.emit_signal(None, PATH, SHORTCUTS, "Activated", words)
            invocation.return_value(None)
        elif method == "ListShortcuts":
            session, options = arguments.unpack()
            answer(options, 0, {"shortcuts": GLib.Variant("a(sa{sv})", bound[session])})
        elif method == "Unset":
            for session, given in bound.items():
                for _, about in given:
                    about["trigger_description"] = GLib.Variant("s", "")
                words = GLib.Variant("(oa(sa{sv}))", (session, given))
                connection.emit_signal(None, PATH, SHORTCUTS, "ShortcutsChanged", words)
            invocation.return_value(None)
        elif method == "CloseAll":
            for session in list(bound):
                del bound[session]
                connection.emit_signal(None, session, SESSION, "Closed", GLib.Variant("(a{sv})", ({},)))
            invocation.return_value(None)
        elif method == "Close":
            bound.pop(path, None)
            say({"closed": path})
            invocation.return_value(None)
        else:
            invocation.return_value(None)

    def on_get(_connection, _sender, _path, _interface, _name):
        return GLib.Variant("u", 1)

    def on_bus(connection, _name):
        connection.register_object(PATH, shortcuts, on_call, on_get, None)
        connection.register_object(PATH, registry, on_call, None, None)

    def on_name(_connection, _name):
        print("ready", flush=True)

    Gio.bus_own_name(Gio.BusType.SESSION, NAME, Gio.BusNameOwnerFlags.NONE, on_bus, on_name, None)
    GLib.MainLoop().run()


ASKED = {"press": "Press", "unset": "Unset", "close": "CloseAll"}

if sys.argv[1] in ASKED:
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)
    bus.call_sync(NAME, PATH, SHORTCUTS, ASKED[sys.argv[1]], None, None, 0, 5000, None)
else:
    serve(sys.argv[1])
