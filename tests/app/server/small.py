"""Applications that are imported at once, for tests of gunicorn and its configuration."""


def wsgi(environ, start_response):
    """Answer each request with 200."""
    start_response("200 OK", [("Content-Length", "0")])
    return []


class Asgi:
    """The same under the asgi worker."""

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            headers = [(b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body"})

    def shut_down(self):
        """Do nothing: no subscription is open."""


asgi = Asgi()
