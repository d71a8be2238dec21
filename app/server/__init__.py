"""The servers: gunicorn's workers, with bounds on what a client can hold open."""
