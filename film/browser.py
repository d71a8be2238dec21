"""Real pages, each in a window of its own, and what a person does in them."""

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clients.browser.chromium import Chromium, Page
from film.recording import Window

SCALE = 1.5
"""Pixels of the film for each of the stage."""
FIND = """(what) => {
  if (/^[#.\\[]/.test(what)) return document.querySelector(what);
  const shown = (e) => e.getClientRects().length && (e.innerText || e.value || "").trim();
  const all = [...document.querySelectorAll("body *")].filter(shown);
  const text = (e) => shown(e).replace(/\\s+/g, " ");
  const can = (e) => e.matches("a, button, summary, select, label, [role=button], [role=tab]");
  const innermost = (test) => {
    const found = all.filter(test);
    return found.find((e) => !found.some((other) => other !== e && e.contains(other)));
  };
  return innermost((e) => can(e) && text(e) === what) || innermost((e) => text(e) === what)
    || innermost((e) => can(e) && text(e).includes(what))
    || innermost((e) => text(e).includes(what));
}"""
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "PageDown": (34, "")}
SETTLE = 0.5
"""Seconds in which the scripts of a page draw it."""
FRAMES = 12
"""Pictures of a movement of the pointer or of the page."""


class PageWindow:
    """One page of ``width`` and ``height`` in pixels of the stage, enlarged ``zoom`` times."""

    def __init__(
        self, browser: Chromium, folder: Path, width: int, height: int, zoom: float
    ) -> None:
        self.page = open_window(browser)
        self.size = round(width / zoom), round(height / zoom)
        self._folder = folder
        self._pointer = (self.size[0] * 0.6, self.size[1] * 0.7)
        self._moved = False
        self._image = folder / "none.png"
        metrics = {"width": self.size[0], "height": self.size[1], "mobile": False}
        scale = SCALE * zoom
        self.page.command("Emulation.setDeviceMetricsOverride", deviceScaleFactor=scale, **metrics)
        self.page.command("Emulation.setScrollbarsHidden", hidden=True)

    def open(self, address: str, seconds: float) -> None:
        """Open an address, and wait until the page has loaded."""
        self.page.open(address)
        self.page.wait(
            "document.readyState === 'complete' && location.href !== 'about:blank'", seconds
        )
        time.sleep(SETTLE)

    def close(self) -> None:
        """Close the page."""
        self.page.command("Page.close")
        self.page.__exit__()

    def shot(self) -> Window:
        """Return what the page looks like now."""
        result = self.page.command("Page.captureScreenshot", format="png", optimizeForSpeed=True)
        data = base64.b64decode(result["data"])
        self._image = self._folder / f"{hashlib.sha256(data).hexdigest()}.png"
        if not self._image.exists():
            self._image.write_bytes(data)
        self._address = str(self.page.value("location.href"))
        return self.last()

    def last(self) -> Window:
        """Return the last shot, with the pointer where it is now."""
        width, height = self.size
        pointer = (self._pointer[0] / width, self._pointer[1] / height) if self._moved else None
        return Window(self._address, self._image, pointer)

    def found(self, expression: str) -> str | None:
        """Return the line of the page's text that matches first, or None."""
        match = re.search(expression, self.text())
        lines = match.group().strip().splitlines() if match else None
        return lines[0] if lines else None

    def text(self) -> str:
        """Return the visible text of the page."""
        return str(self.page.value("document.body ? document.body.innerText : ''"))

    def box(self, what: str) -> tuple[float, float, float, float] | None:
        """Return left, top, width and height of what a selector or a text names, or None."""
        found = self.page.value(
            f"(() => {{ const e = ({FIND})({json.dumps(what)}); if (!e) return null;"
            "const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height] })()"
        )
        return (found[0], found[1], found[2], found[3]) if found else None

    def steps_to(self, x: float, y: float) -> Iterator[None]:
        """Move the pointer, one step for each value."""
        self._moved = True
        start = self._pointer
        for share in eased(FRAMES):
            self._pointer = tuple_between(start, (x, y), share)
            yield

    def press_mouse(self) -> None:
        """Click where the pointer is."""
        x, y = self._pointer
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            options: dict[str, Any] = {"type": kind, "x": x, "y": y}
            if kind != "mouseMoved":
                options |= {"button": "left", "clickCount": 1}
            self.page.command("Input.dispatchMouseEvent", **options)

    def press(self, key: str) -> None:
        """Press a key, by its name."""
        self.page.press(key, *KEYS[key])

    def scroll_by(self, distance: float) -> Iterator[None]:
        """Scroll the page, one step for each value."""
        done = 0.0
        for share in eased(FRAMES):
            self.page.value(
                f"window.scrollBy({{top: {distance * share - done}, behavior: 'instant'}})"
            )
            done = distance * share
            yield


def open_window(browser: Chromium) -> Page:
    """Open a page in a window of its own: of a tab in the background there are no pictures."""
    with browser.page() as page:
        target = page.command("Target.createTarget", url="about:blank", newWindow=True)
    return Page(f"ws://127.0.0.1:{browser.port}/devtools/page/{target['targetId']}")


def eased(count: int) -> Iterator[float]:
    """Yield growing shares, up to 1: slow, fast, slow."""
    for number in range(1, count + 1):
        share = number / count
        yield share * share * (3 - 2 * share)


def tuple_between(
    start: tuple[float, float], end: tuple[float, float], share: float
) -> tuple[float, float]:
    """Return the point at a share of the way."""
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
