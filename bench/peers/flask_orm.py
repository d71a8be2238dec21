"""A plain service with Flask, the ORM, marshmallow and jsonify, as in tutorials."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema, fields
from sqlalchemy import DateTime, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column

from app.config import database_url


class Base(DeclarativeBase):
    """The base of both models."""


db = SQLAlchemy(model_class=Base)
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = database_url(os.environ["DATABASE_URL"])
db.init_app(app)


class Book(Base):
    """A book, with the columns that are shown."""

    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author: Mapped[str]
    isbn: Mapped[str | None]
    published_year: Mapped[int | None]
    review_count: Mapped[int]
    average_rating: Mapped[float | None]
    stars_1: Mapped[int]
    stars_2: Mapped[int]
    stars_3: Mapped[int]
    stars_4: Mapped[int]
    stars_5: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def stars(self) -> dict[str, int]:
        """How many ratings have each number of stars."""
        counts = (self.stars_1, self.stars_2, self.stars_3, self.stars_4, self.stars_5)
        return {str(rating): count for rating, count in enumerate(counts, 1)}


class Review(Base):
    """A review."""

    __tablename__ = "review"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int]
    rating: Mapped[int]
    reviewer: Mapped[str]
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Hold(Base):
    """Units of a product that are kept for somebody for a while."""

    __tablename__ = "hold"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int]
    quantity: Mapped[int]
    state: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Product(Base):
    """A product, with the columns that are shown."""

    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str]
    name: Mapped[str]
    price: Mapped[int]
    stock_level: Mapped[int]
    archived: Mapped[bool]
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


Product.available = column_property(
    select(Product.stock_level - func.coalesce(func.sum(Hold.quantity), 0))
    .where(Hold.product_id == Product.id, Hold.state == "held", Hold.expires_at > func.now())
    .correlate(Product)
    .scalar_subquery()
)


class BookSchema(Schema):
    """A book in a response."""

    id = fields.Integer()
    title = fields.String()
    author = fields.String()
    isbn = fields.String()
    published_year = fields.Integer()
    review_count = fields.Integer()
    average_rating = fields.Float()
    stars = fields.Dict(keys=fields.String(), values=fields.Integer())
    created_at = fields.AwareDateTime()


class ReviewSchema(Schema):
    """A review in a response."""

    id = fields.Integer()
    book_id = fields.Integer()
    rating = fields.Integer()
    reviewer = fields.String()
    text = fields.String()
    created_at = fields.AwareDateTime()


class ProductSchema(Schema):
    """A product in a response; the price is in cents."""

    id = fields.Integer()
    sku = fields.String()
    name = fields.String()
    price = fields.Integer()
    stock_level = fields.Integer()
    available = fields.Integer()
    archived = fields.Boolean()
    updated_at = fields.AwareDateTime()


product_schema = ProductSchema()
books_schema = BookSchema(many=True)
reviews_schema = ReviewSchema(many=True)


@app.get("/books")
def books() -> Response:
    """List books, by id."""
    limit = request.args.get("limit", 20, type=int)
    found = db.session.scalars(select(Book).order_by(Book.id).limit(limit + 1)).all()
    return page(books_schema, found, limit)


@app.get("/products/<int:product_id>")
def product(product_id: int) -> Response:
    """Return a product."""
    return jsonify(product_schema.dump(db.get_or_404(Product, product_id)))


@app.get("/books/<int:book_id>/reviews")
def reviews(book_id: int) -> Response:
    """List a book's reviews, newest first."""
    limit = request.args.get("limit", 20, type=int)
    newest = select(Review).where(Review.book_id == book_id)
    newest = newest.order_by(Review.created_at.desc(), Review.id.desc()).limit(limit + 1)
    return page(reviews_schema, db.session.scalars(newest).all(), limit)


def page(schema: Schema, found: Sequence[Any], limit: int) -> Response:
    """Return one page, and the id at its end."""
    more = found[limit - 1].id if len(found) > limit else None
    return jsonify({"items": schema.dump(found[:limit]), "next_cursor": more})
