"""A shop developer's day: one script, with a Python client generated from the OpenAPI document."""
