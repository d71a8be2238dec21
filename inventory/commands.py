"""The command `flask products`."""

from flask.cli import AppGroup

from app.loading.commands import load_command
from inventory.loads import PRODUCTS

LOAD_PRODUCTS = """Load products from a CSV file.

A row whose SKU is stored updates that product where it differs; any other row adds a
product. A blank cell changes nothing. Each change of stock is added to the ledger.
Fields: sku, name, price, stock_level; a new product requires name and price.

\b
flask products load products.csv --map sku=product_id
"""

products = AppGroup("products", help="Commands for products.")
products.add_command(load_command(PRODUCTS, LOAD_PRODUCTS))
