"""Draw the pictures of the film: the page stage.html in Chromium."""

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from clients.browser.chromium import Chromium
from film.browser import SCALE, open_window
from film.recording import Cut, Picture

WIDTH, HEIGHT = 1280, 720
VIEW_WIDTH, VIEW_HEIGHT = 1198, 544
"""The picture of a single window, in pixels of the stage."""
TERMINAL_ROWS = {1: 19, 2: 9}
GAP = 12


def draw(browser: Chromium, cut: Cut, folder: Path) -> Iterator[Path]:
    """Yield the file of each picture of the film; equal pictures share a file."""
    page = open_window(browser)
    metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": SCALE, "mobile": False}
    page.command("Emulation.setDeviceMetricsOverride", **metrics)
    page.open((Path(__file__).parent / "stage.html").as_uri())
    page.wait("typeof show === 'function'")
    files: dict[Picture, Path] = {}
    for shown in cut.pictures:
        if shown.picture not in files:
            page.value(f"show({json.dumps(document(shown.picture))})")
            result = page.command("Page.captureScreenshot", format="png", optimizeForSpeed=True)
            files[shown.picture] = folder / f"{len(files):05}.png"
            files[shown.picture].write_bytes(base64.b64decode(result["data"]))
        yield files[shown.picture]


def document(picture: Picture) -> dict[str, object]:
    """Return a picture as JSON for the page."""
    windows = [{**asdict(window), "image": window.image.as_uri()} for window in picture.windows]
    return {**asdict(picture), "windows": windows}
