"""The whole service, for gunicorn's asgi worker: REST and GraphQL, with new reviews live."""

from app.config import from_env
from app.factory import create_app
from app.live.asgi import Live
from app.live.operations import Graph
from bookreview.graphql_schema import NewReviews, schema

settings = from_env()
app = Live(create_app(settings), Graph(schema, NewReviews()), settings)
