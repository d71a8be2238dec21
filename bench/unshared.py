"""asgi.py as it would be if every subscriber were executed for by itself: without a bound of it."""

from app.live import shared

shared.GROUPS_OF_A_TOPIC = 1_000_000

from asgi import app  # noqa: E402, F401 - gunicorn asks for it here
