"""The event log in the database and its Redis Stream."""
