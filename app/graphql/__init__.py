"""GraphQL over HTTP: execution, query limits, errors, Relay connections, views."""
