"""Real servers, from wheels, on 127.0.0.1: for the tests, the bench and `make stack`."""
