"""The Flask shell of the service: it knows HTTP and settings, and no book or product."""
