"""Books and what readers think of them."""
