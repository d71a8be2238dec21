"""The whole service, for gunicorn's ASGI worker: REST, GraphQL and live reviews."""

from app.config import from_env
from app.factory import create_app, schema
from app.live.asgi import AsgiApp
from app.live.operations import LiveSchema
from bookreview.graphql_schema import check_book, review_event, review_topic

app = AsgiApp(create_app(from_env()), LiveSchema(schema, review_topic, check_book, review_event))
