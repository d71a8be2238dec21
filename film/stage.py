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
SCREENS_WIDTH, SCREENS_HEIGHT = 1200, 586
GAP = 12
BORDER = 1
ADDRESS_BAR = 40
LINE = 29
PADDING = 12
ROWS_BELOW = 5
"""Lines of a terminal below windows. All these are as in stage.html."""
NARROW_ZOOM = 0.838
"""How large pages are shown beside each other: /live has two columns from 704 pixels on."""
ZOOM = 1.25


def rows(terminals: int, *, together: bool) -> int:
    """Return how many lines each terminal has; ``together``, below windows."""
    if together:
        return ROWS_BELOW
    height = (SCREENS_HEIGHT - (terminals - 1) * GAP) / terminals
    return int((height - 2 * PADDING) // LINE)


def place(windows: int, *, together: bool) -> tuple[int, int, float]:
    """Return the width and the height of a page on the stage, and how it is enlarged."""
    below = GAP + ROWS_BELOW * LINE + 2 * PADDING if together else 0
    width = (SCREENS_WIDTH - (windows - 1) * GAP) // windows - 2 * BORDER
    height = SCREENS_HEIGHT - below - ADDRESS_BAR - 2 * BORDER
    return width, height, ZOOM if windows == 1 else NARROW_ZOOM


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
