"""GraphQL subscriptions over WebSockets and server-sent events.

The path of an event, in reading order: ``event_reader.EventReader`` reads it from Redis or the
database; ``hub.Hub.publish`` stores it in the ring buffer and wakes its followers;
``operations.Operations`` follows the hub for each subscription; ``shared_execution`` executes the
query once per event for all equal subscriptions; ``protocols`` writes the message; and
``connection.ClientConnection.send`` sends it. ``asgi.AsgiApp`` connects these parts.
"""
