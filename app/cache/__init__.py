"""The response cache: tags, read-through, Redis backend, lease, outbox."""
