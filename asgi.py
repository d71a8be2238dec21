"""The whole service, for gunicorn's ASGI worker: REST, GraphQL and live reviews."""

from app.changes.graphql import CHANGES
from app.config import from_env
from app.factory import create_app, schema
from app.live.asgi import AsgiApp
from app.live.operations import LiveSchema
from bookreview.graphql_schema import REVIEW_ADDED

fields = {"reviewAdded": REVIEW_ADDED, "changes": CHANGES}
app = AsgiApp(create_app(from_env()), LiveSchema(schema, fields))
