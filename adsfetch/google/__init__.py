"""The Google Ads source: its report, connection, credentials, fields and errors."""
