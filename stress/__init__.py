"""Fault injection: checkers that verify the service while its parts fail."""
