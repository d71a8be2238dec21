"""How the tests of the Redis client connect."""

from app.redis.client import RedisClient, RedisUnavailable
from tests.waiting import wait_until


def connected_client(url: str) -> RedisClient:
    """Return a client that this thread has connected within its time limits.

    A busy machine makes it exceed them; then another client tries again.
    """

    def connect() -> RedisClient | None:
        client = RedisClient(url)
        try:
            client.connection()
        except RedisUnavailable:
            return None
        return client

    found: RedisClient = wait_until(connect)
    return found
