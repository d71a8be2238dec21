"""The service on several hosts, each a network namespace, while hosts and links fail."""
