"""What others run against the service: the reference clients of GraphQL's protocols, a browser."""
