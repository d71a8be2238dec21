"""Plain services with the same responses, and a plain Google Ads client."""
