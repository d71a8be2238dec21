"""Commands of the service as a whole: prepare it, manage its keys, choose its limits."""
