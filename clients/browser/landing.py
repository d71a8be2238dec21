"""Checks of the landing page: its figures, its commands, its links, and the icon of all pages."""

import json

from clients.browser.chromium import Page, PageError
from clients.browser.offline import check_requests
from clients.service import Bookstall

COMMANDS = "[...document.querySelectorAll('pre code')].map((command) => command.textContent)"
FIGURES = """
Object.fromEntries([...document.querySelectorAll('[data-figure]')].map(
  (node) => [node.dataset.figure, Number(node.textContent.replaceAll(',', ''))],
))
"""
STATUSES_OF_LINKS = """
Promise.all([...document.querySelectorAll('main a')].map(
  async ({ href }) => [href, (await fetch(href)).status],
))
"""
DECODED = """
(async () => {{
  const image = new Image();
  image.src = {path};
  await image.decode();
  return image.naturalWidth;
}})()
"""


def check_landing(page: Page, service: Bookstall, book: int) -> None:
    """Check what the page shows of this service; copy a command with the keyboard only."""
    page.open(f"{service.address}/")
    page.wait("Boolean(document.querySelector('.copy:not([hidden])'))")
    figures = json.dumps(service.get("/figures"))
    page.wait(f"JSON.stringify({FIGURES}) === JSON.stringify({figures})")
    commands = page.value(COMMANDS)
    wrong = [command for command in commands if f"'{service.address}/" not in command]
    if wrong or not commands:
        raise PageError(f"commands with another address: {wrong}")
    page.wait(f"document.getElementById('book').textContent === '{book}'")
    check_copy(page, commands[0])
    failed = [link for link in page.value(STATUSES_OF_LINKS) if link[1] != 200]
    if failed:
        raise PageError(f"links: {failed}")
    check_requests(page, service)


def check_copy(page: Page, command: str) -> None:
    """Copy the first command, without the permission to use the clipboard and with it."""
    page.command("Browser.grantPermissions", permissions=[])  # denies all that it does not name
    page.press("Tab", 9)
    page.press("Enter", 13, "\r")
    page.wait("document.getElementById('copied').textContent.includes('selected')")
    if page.value("getSelection().toString()") != command:
        raise PageError("the first command was not selected")
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    page.command("Browser.grantPermissions", permissions=permissions)
    page.press("Enter", 13, "\r")
    page.wait("document.getElementById('copied').textContent.includes('clipboard')")
    if page.value("navigator.clipboard.readText()") != command:
        raise PageError("the first command was not copied")


def check_icons(page: Page) -> None:
    """Check that the browser can draw the icon, on the page that is open."""
    for path in ("favicon.ico", "pages/icon.svg"):
        if not page.value(DECODED.format(path=json.dumps(path))):
            raise PageError(f"{path} is no picture")


def check_without_database(page: Page, service: Bookstall) -> None:
    """Check that the page says why it has no figures."""
    page.open(f"{service.address}/")
    page.wait("document.getElementById('no-figures').textContent.includes('cannot be read')")
    if "Three calls" not in page.value("document.body.innerText"):
        raise PageError("the page is not whole")
