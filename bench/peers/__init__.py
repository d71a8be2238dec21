"""The usual plain ways to serve the same, each as its author would write it."""
