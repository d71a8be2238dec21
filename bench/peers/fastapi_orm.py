"""FastAPI with the asynchronous ORM, asyncpg and pydantic models, as in tutorials."""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import DateTime, func, make_url, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column

url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg")
# A connection for each request of the benchmark: the default pool would open and close some.
engine = create_async_engine(url, pool_size=16)
new_session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()
T = TypeVar("T")


class Base(DeclarativeBase):
    """The base of the models."""


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


class Shown(BaseModel):
    """The base of what is shown."""

    model_config = ConfigDict(from_attributes=True)

    id: int


class ShownBook(Shown):
    """A book in a response."""

    title: str
    author: str
    isbn: str | None
    published_year: int | None
    review_count: int
    average_rating: float | None
    stars: dict[str, int]
    created_at: datetime


class ShownReview(Shown):
    """A review in a response."""

    book_id: int
    rating: int
    reviewer: str
    text: str
    created_at: datetime


class ShownProduct(Shown):
    """A product in a response; the price is in cents."""

    sku: str
    name: str
    price: int
    stock_level: int
    available: int
    archived: bool
    updated_at: datetime


class Page(BaseModel, Generic[T]):
    """A page of a list, and the id at its end if there are more."""

    items: list[T]
    next_cursor: int | None


async def open_session() -> AsyncIterator[AsyncSession]:
    """Open a session for a request."""
    async with new_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session)]


@app.get("/books", response_model=Page[ShownBook])
async def books(session: Session, limit: int = 20) -> dict[str, Any]:
    """List books, by id."""
    return await page(session, select(Book).order_by(Book.id), limit)


@app.get("/products/{product_id}", response_model=ShownProduct)
async def product(session: Session, product_id: int) -> Product:
    """Return a product."""
    found = await session.get(Product, product_id)
    if found is None:
        raise HTTPException(404)
    return found


@app.get("/books/{book_id}/reviews", response_model=Page[ShownReview])
async def reviews(session: Session, book_id: int, limit: int = 20) -> dict[str, Any]:
    """List a book's reviews, newest first."""
    newest = select(Review).where(Review.book_id == book_id)
    newest = newest.order_by(Review.created_at.desc(), Review.id.desc())
    return await page(session, newest, limit)


async def page(session: AsyncSession, query: Any, limit: int) -> dict[str, Any]:
    """Return one page of a query."""
    found = (await session.scalars(query.limit(limit + 1))).all()
    more = found[limit - 1].id if len(found) > limit else None
    return {"items": found[:limit], "next_cursor": more}
