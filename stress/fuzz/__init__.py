"""Call every operation of the OpenAPI document with schemathesis."""
