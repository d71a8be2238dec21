"""Authentication and access: API keys, client address, access policy, request guard."""
