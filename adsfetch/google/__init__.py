"""The Google Ads source: report, source, connection, credentials, queries and errors."""
