"""asgi.py as if every subscriber were executed for by itself: without the bounds of it."""

from app.live import shared_execution as shared

shared.GROUPS_OF_A_TOPIC = shared.GROUPS_OF_A_CLIENT = 1_000_000

from asgi import app  # noqa: E402, F401 - gunicorn asks for it here
