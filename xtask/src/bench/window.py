#!/usr/bin/python3
"""Looks at the app's window through WebDriver: window.py PORT APP ARGUMENT...

Prints one JSON object: frame times at four speeds of scrolling (as bare-scroll.py has them), memory is left for the
caller to read while the window is open after scrolling through everything (it says so on a line of its own and waits
for one on standard input), and how soon a screen of cached thumbnails is painted after a jump.
"""
import json
import sys
import urllib.request

PORT, APP, *ARGUMENTS = sys.argv[1:]
BASE = f"http://127.0.0.1:{PORT}"


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)["value"]


session = call(
    "POST",
    "/session",
    {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": {"binary": APP, "args": ARGUMENTS}}}},
)["sessionId"]
call("POST", f"/session/{session}/timeouts", {"script": 600000})


def run(source, *arguments):
    return call("POST", f"/session/{session}/execute/async", {"script": source, "args": list(arguments)})


# Ready: cells are there, and all in sight have their thumbnails.
WHOLE = """
const seen = () => {
  const grid = document.querySelector('[data-testid=gallery-grid]');
  if (grid === null) return false;
  const box = grid.getBoundingClientRect();
  const cells = [...grid.querySelectorAll('[data-testid=cell]')].filter((cell) => {
    const at = cell.getBoundingClientRect();
    return at.bottom > box.top && at.top < box.bottom && at.width > 0;
  });
  return cells.length > 0 && cells.every((cell) => {
    const image = cell.querySelector('img');
    return image !== null && image.complete && image.naturalWidth > 0 && image.classList.contains('shown');
  });
};
"""
READY = WHOLE + "const done = arguments[0]; const wait = () => seen() ? done(true) : setTimeout(wait, 50); wait();"
FRAMES = """
const [px, done] = arguments;
const grid = document.querySelector('[data-testid=gallery-grid]');
(async () => {
  const times = [];
  let last = performance.now();
  const end = last + 5000;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last);
    last = now;
    grid.scrollTop += px;
  }
  times.sort((a, b) => a - b);
  const at = (part) => times[Math.floor((times.length - 1) * part)];
  done({px, frames: times.length, p50: at(0.5), p95: at(0.95), max: at(1)});
})();
"""
THROUGH = WHOLE + """
const done = arguments[0];
const grid = document.querySelector('[data-testid=gallery-grid]');
(async () => {
  // A rest at each of many places, so that pictures are painted: what flies by is shown by its colours alone.
  for (let place = 0; place <= 400; place += 1) {
    grid.scrollTop = place / 400 * (grid.scrollHeight - grid.clientHeight);
    const start = performance.now();
    do await new Promise((next) => setTimeout(next, 20));
    while (!seen() && performance.now() - start < 2000);
  }
  done(grid.scrollTop);
})();
"""
JUMP = WHOLE + """
const [part, done] = arguments;
const grid = document.querySelector('[data-testid=gallery-grid]');
const start = performance.now();
grid.scrollTop = part * (grid.scrollHeight - grid.clientHeight);
(async () => {
  for (;;) {
    await new Promise(requestAnimationFrame);
    await new Promise((next) => setTimeout(next, 0));
    if (seen() || performance.now() - start > 20000) break;
  }
  const took = performance.now() - start;
  // A look at it: who jumps on within an eighth of a second is scrolling, and what flies by then has its colours alone.
  setTimeout(() => done(took), 400);
})();
"""

run(READY)
speeds = [run(FRAMES, px) for px in (0, 24, 240, 4000)]
run(THROUGH)
run(READY)
print("scrolled through", flush=True)
sys.stdin.readline()
jumps = sorted(run(JUMP, (n * 37 % 101 + 0.5) / 101) for n in range(1, 22))
print(json.dumps({"speeds": speeds, "jump": jumps[len(jumps) // 2], "slowest": jumps[-1]}), flush=True)
call("DELETE", f"/session/{session}")
