"""A headless Chromium, controlled by the DevTools protocol over a WebSocket."""

import json
import os
import shutil
import time
import urllib.request
from typing import Any

from websockets.sync.client import ClientConnection, connect

from stack.process import Server

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-default-browser-check",
    # Pages can reach no other host.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class PageError(AssertionError):
    """A check of a page failed."""


def find() -> str | None:
    """Return the browser that CHROMIUM names, else the first one on the PATH."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


class Chromium(Server):
    """The browser's process."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def command(self) -> list[str]:
        """Return the command line, with a new profile."""
        # The sandbox does not work for root.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        profile = f"--user-data-dir={self.folder / 'profile'}"
        port = f"--remote-debugging-port={self.port}"
        return [self._program, *OPTIONS, *sandbox, profile, port, "about:blank"]

    def is_ready(self) -> bool:
        """Return whether the browser reports its version."""
        try:
            self._get("version")
        except OSError:
            return False
        return True

    def _get(self, what: str, method: str = "GET") -> Any:
        """Request something from the browser's HTTP interface."""
        url = f"http://127.0.0.1:{self.port}/json/{what}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)

    def page(self) -> "Page":
        """Open an empty page."""
        return Page(self._get("new?about:blank", "PUT")["webSocketDebuggerUrl"])


class Page:
    """One tab: its commands, its requests and its errors."""

    def __init__(self, address: str) -> None:
        # Messages can be of any size.
        self._connection: ClientConnection = connect(address, max_size=None)
        self._sent = 0
        self.requests: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.command(f"{domain}.enable")

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def command(self, method: str, **parameters: Any) -> Any:
        """Send a command, and return its result."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            message = json.loads(self._connection.recv(timeout=30))
            if message.get("id") == self._sent:
                if "error" in message:
                    raise PageError(f"{method}: {message['error']}")
                return message["result"]
            self._record(message.get("method", ""), message.get("params", {}))

    def open(self, address: str) -> None:
        """Open a URL."""
        self.command("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        options = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        result = self.command("Runtime.evaluate", **options)
        if "exceptionDetails" in result:
            raise PageError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression: str, seconds: float = 20) -> Any:
        """Wait until a JavaScript expression is truthy, and return its value."""
        deadline = time.monotonic() + seconds
        while not (
            found := self.value(f"(() => {{ try {{ return {expression} }} catch {{}} }})()")
        ):
            if time.monotonic() > deadline:
                shown = self.value("document.body.innerText")
                raise PageError(f"not in {seconds} s: {expression}\n{shown}\n{self.errors}")
            time.sleep(0.02)
        return found

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        parameters = {"key": key, "windowsVirtualKeyCode": code, "text": text}
        self.command("Input.dispatchKeyEvent", type="keyDown", **parameters)
        self.command("Input.dispatchKeyEvent", type="keyUp", **parameters)

    def type(self, text: str) -> None:
        """Insert text at the cursor."""
        self.command("Input.insertText", text=text)

    def _record(self, event: str, parameters: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event == "Network.webSocketCreated":
            self.requests.append(parameters["url"])
        elif event == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "assert"}:
            self.errors.append(str(parameters["args"]))
        elif event == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(
                f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}"
            )
        elif event == "Audits.issueAdded" and "ContentSecurity" in parameters["issue"]["code"]:
            self.errors.append(str(parameters["issue"]["details"]))
