"""The response cache: tags, read-through, lease, outbox; and the backend of Flask-Caching."""
