"""A headless Chromium, driven by its own DevTools protocol over a WebSocket."""

import json
import os
import shutil
import time
import urllib.request
from typing import Any

from websockets.sync.client import ClientConnection, connect

from stack.process import Server

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-default-browser-check",
    # Nothing but this machine can be reached, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class PageError(AssertionError):
    """What was to be seen on a page was not."""


def find() -> str | None:
    """Return the browser named by CHROMIUM, else the first that is on the PATH."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


class Chromium(Server):
    """The browser's process."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def command(self) -> list[str]:
        """Return the words that start it, with a new profile."""
        # Its sandbox does not work for root, and without root it works only where it is allowed.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        profile = f"--user-data-dir={self.folder / 'profile'}"
        port = f"--remote-debugging-port={self.port}"
        return [self._program, *QUIET, *sandbox, profile, port, "about:blank"]

    def is_ready(self) -> bool:
        """Ask for its version."""
        try:
            self.ask("version")
        except OSError:
            return False
        return True

    def ask(self, what: str, method: str = "GET") -> Any:
        """Ask the browser about itself."""
        url = f"http://127.0.0.1:{self.port}/json/{what}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def page(self) -> "Page":
        """Open an empty page."""
        return Page(self.ask("new?about:blank", "PUT")["webSocketDebuggerUrl"])


class Page:
    """One tab: what it is told, what it shows, and what it complained of."""

    def __init__(self, address: str) -> None:
        # No limit: a page's answers are as large as they are.
        self._wire: ClientConnection = connect(address, max_size=None)
        self._sent = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.tell(f"{domain}.enable")

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    def tell(self, method: str, **parameters: Any) -> Any:
        """Send a command, and return its result."""
        self._sent += 1
        asked = {"id": self._sent, "method": method, "params": parameters}
        self._wire.send(json.dumps(asked))
        while True:
            message = json.loads(self._wire.recv(timeout=30))
            if message.get("id") == self._sent:
                if "error" in message:
                    raise PageError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message.get("method", ""), message.get("params", {}))

    def open(self, address: str) -> None:
        """Go to an address."""
        self.tell("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """Return the value of some JavaScript, a promise's too."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.tell("Runtime.evaluate", **asked)
        if "exceptionDetails" in answer:
            raise PageError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 20) -> Any:
        """Wait until some JavaScript gives something true, and return that."""
        deadline = time.monotonic() + seconds
        while not (
            found := self.value(f"(() => {{ try {{ return {expression} }} catch {{}} }})()")
        ):
            if time.monotonic() > deadline:
                shown = self.value("document.body.innerText")
                raise PageError(f"not in {seconds} s: {expression}\n{shown}\n{self.complaints}")
            time.sleep(0.02)
        return found

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key, and let it go."""
        known = {"key": key, "windowsVirtualKeyCode": code, "text": text}
        self.tell("Input.dispatchKeyEvent", type="keyDown", **known)
        self.tell("Input.dispatchKeyEvent", type="keyUp", **known)

    def type(self, text: str) -> None:
        """Put text where the cursor is."""
        self.tell("Input.insertText", text=text)

    def _note(self, event: str, said: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif event == "Network.webSocketCreated":
            self.requests.append(said["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and said["type"] in {"error", "assert"}:
            self.complaints.append(str(said["args"]))
        elif event == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif event == "Audits.issueAdded" and "ContentSecurity" in said["issue"]["code"]:
            self.complaints.append(str(said["issue"]["details"]))
