"""Who calls and what they may do: API keys, client address, policy, request guard."""
