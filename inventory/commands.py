"""`flask products ...`."""

from flask.cli import AppGroup

from app.loading.commands import load_command
from inventory.loads import PRODUCTS

products = AppGroup("products", help="Products, from files.")

products.add_command(
    load_command(
        PRODUCTS,
        """Load products from a CSV file.

        A product whose SKU is known is updated where it differs, any other is added; a blank cell
        changes nothing. Each change of stock is entered in the ledger. Fields: sku, name, price,
        stock_level; a new product needs a name and a price.

        \b
        flask products load products.csv --map sku=product_id
        """,
    )
)
