"""Content negotiation by Accept, the same on every route (RFC 9110, 12.5.1)."""

from functools import lru_cache

from werkzeug.http import parse_accept_header

JSON = "application/json"
HTML = "text/html"
EVENT_STREAM = "text/event-stream"


@lru_cache(maxsize=256)
def negotiate(accept: str, *offered: str) -> str | None:
    """Return the media type that the client prefers; None if it accepts none of ``offered``.

    Of the types that it names and accepts equally the first is chosen; of those that only a
    wildcard accepts, the last. Parameters, such as the charset that some clients add to JSON,
    mean nothing.
    """
    # Java's HttpURLConnection sends q=.2, which the grammar does not allow.
    parsed = parse_accept_header(accept.lower().replace("q=.", "q=0."))
    if not parsed:
        return offered[-1]
    qualities: dict[str, float] = {}
    for text, quality in parsed:
        media_range = text.partition(";")[0].strip()
        qualities[media_range] = max(quality, qualities.get(media_range, 0))

    def preference(index: int) -> tuple[float, bool, int]:
        kind = offered[index]
        for media_range in (kind, f"{kind.partition('/')[0]}/*", "*/*", "*"):
            if media_range in qualities:
                named = media_range == kind
                return qualities[media_range], named, -index if named else index
        return 0, False, index

    best = max(range(len(offered)), key=preference)
    return offered[best] if preference(best)[0] > 0 else None


def accepts_json(accept: str) -> bool:
    """Return whether a client with this Accept header, which may be empty, accepts JSON."""
    return negotiate(accept, JSON) is not None
