"""What others run against the service: reference and generated clients, a browser."""
