"""A follower of the event stream of the feed, which uses as little CPU as possible."""

import re
import socket

from stress.http_client import get

# A stream also tells how far it has read, by an id without data.
POSITION = re.compile(rb"^id: [0-9a-f]+-(\d+)\ndata: ", re.MULTILINE)
HEAD_END = b"\r\n\r\n"


class ChangesClient:
    """Follows the feed from a cursor on; ``receive`` returns the positions of received events."""

    def __init__(self, port: int, after: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.acknowledged = False
        self._buffer = b""
        self.socket.sendall(get(f"/changes?after={after}", Accept="text/event-stream"))

    def receive(self) -> list[int]:
        """Read from the socket once; raise ConnectionResetError at the end."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        if not self.acknowledged:
            head, separator, part = (self._buffer + part).partition(HEAD_END)
            if not separator:
                self._buffer = head
                return []
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise ConnectionResetError(head.decode())
            self.acknowledged, self._buffer = True, b""
        events, _, self._buffer = (self._buffer + part).rpartition(b"\n\n")
        return [int(number) for number in POSITION.findall(events)]
