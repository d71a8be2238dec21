"""The subscription checker: no event is lost, repeated or reordered."""
