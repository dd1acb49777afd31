#!/usr/bin/python3
"""bare-view.py PICTURE: the barest window of the same web view with one picture, as the floor for the app's start."""
import sys
import gi
gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2
window = Gtk.Window()
window.set_default_size(1280, 800)
view = WebKit2.WebView()
window.add(view)
view.load_html(f"<body style='margin:0'><img src='file://{sys.argv[1]}'></body>", "file:///")
window.show_all()
Gtk.main()
