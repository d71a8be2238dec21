"""The whole service, for gunicorn's ASGI worker: REST, GraphQL and live reviews."""

from app.config import from_env
from app.factory import create_asgi_app

app = create_asgi_app(from_env())
