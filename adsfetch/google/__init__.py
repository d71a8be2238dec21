"""The Google Ads source: credentials, connection, queries, errors."""
