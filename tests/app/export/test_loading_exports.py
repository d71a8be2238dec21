"""An exported CSV file loads into an empty service as it was, and twice changes nothing."""

import io
import shutil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.api.fields import CleanText
from app.db.types import now
from app.export.formats import CSV
from app.loading.cells import parse_identifier, parse_text
from app.loading.csv_files import CsvReader
from tests.app.loading.csv_load import load_command, reasons

TABLES = ("books", "reviews", "products")
BOOKS = [
    {"title": "#N/A", "author": "'=Ann", "published_year": -500},
    {"title": '="1"', "author": '"Ann", Bob', "isbn": "9780141439587"},
    {"title": "\ufeff+1\ufeff", "author": "@home\u2028", "published_year": 1984},
    {"title": "1984", "author": "1.0"},
]
PRODUCTS = [
    {"sku": "1.0", "name": "-Lamp", "price": "19.90", "stock_level": 5},
    {"sku": "9.78E+12", "name": "2.50E+3", "price": "0.5", "stock_level": 0},
    {"sku": "'0012", "name": "'Lamp'", "price": "1000"},
    {"sku": "0012", "name": "1.500", "price": "1"},
]
TEXTS = ["=1+1", "- a\n- b", "a,\r\nb", 'He said "no"', "sep=;", "\ta", "1E5", "#REF!", "'='='"]
HEADS = {
    "books": "id,title,author\n",
    "reviews": "id,book_id,rating,reviewer,text\n",
    "products": "id,sku,name,price,stock_level\n",
}


@pytest.fixture
def empty(request, make_app, database, tmp_path):
    """A client of a second, empty service on a database of the same kind."""
    if database.startswith("sqlite"):
        path = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "empty.db")
        return make_app(f"sqlite:///{path}").test_client()
    return make_app(request.getfixturevalue("postgres_copy")).test_client()


@pytest.fixture
def shop(client, book, review, tmp_path):
    for number, fields in enumerate(BOOKS):
        book(**fields)
        for rating, text in enumerate(TEXTS, number):
            reviewer = " ".join(text.split())
            review(number + 1, rating=rating % 5 + 1, text=text, reviewer=reviewer)
    for fields in PRODUCTS:
        assert client.post("/products", json=fields).status_code == 201
    assert client.patch("/products/2", json={"archived": True}).status_code == 200
    assert client.delete("/reviews/3").status_code == 204
    return client


def files(client):
    return {table: client.get(f"/{table}/export?format=csv").data for table in TABLES}


def load(client, tmp_path, table, content, *options):
    command = load_command(client.application, table, tmp_path / f"{table}.csv")
    return command(content, "--key", "id", *options)


def test_an_export_loads_into_an_empty_service_and_twice_changes_nothing(shop, empty, tmp_path):
    exported = files(shop)
    for table, content in exported.items():
        rows = len(list(shop.get(f"/{table}/export").text.splitlines()))
        result = load(empty, tmp_path, table, content)
        assert result.stdout == f"loaded {rows}, updated 0, unchanged 0, rejected 0\n", result
    assert files(empty) == exported
    for table, content in exported.items():
        rows = len(list(shop.get(f"/{table}/export").text.splitlines()))
        result = load(empty, tmp_path, table, content)
        assert result.stdout == f"loaded 0, updated 0, unchanged {rows}, rejected 0\n"
        assert load(shop, tmp_path, table, content).stdout == result.stdout
    assert files(empty) == files(shop) == exported
    [entry] = empty.get("/products/1/stock-adjustments").json["items"]
    assert (entry["delta"], entry["reason"]) == (5, "first stock")


def test_what_is_added_after_a_load_gets_greater_ids(empty, tmp_path):
    load(empty, tmp_path, "books", HEADS["books"] + "41,Emma,Jane Austen\n7,Emma,Jane Austen\n")
    load(empty, tmp_path, "reviews", HEADS["reviews"] + "90,7,5,Ana,Good\n")
    load(empty, tmp_path, "products", HEADS["products"] + "12,l1,Lamp,5,3\n")
    book = {"title": "Persuasion", "author": "Jane Austen"}
    assert empty.post("/books", json=book).json["id"] == 42
    review = {"rating": 5, "reviewer": "Ana", "text": "Good"}
    assert empty.post("/books/7/reviews", json=review).json["id"] == 91
    lamp = {"sku": "l2", "name": "Lamp", "price": "5"}
    assert empty.post("/products", json=lamp).json["id"] == 13


def test_a_load_below_the_greatest_id_does_not_move_the_next_id_back(empty, tmp_path):
    load(empty, tmp_path, "books", HEADS["books"] + "41,Emma,Jane Austen\n")
    load(empty, tmp_path, "books", HEADS["books"] + "7,Emma,Jane Austen\n")
    book = {"title": "Persuasion", "author": "Jane Austen"}
    assert empty.post("/books", json=book).json["id"] == 42


def test_a_row_is_matched_by_id_and_keeps_its_identity(shop, tmp_path):
    before = shop.get("/products/1").json
    content = f"{HEADS['products']}1,new sku,Lamp,19.90,7\n".encode()
    result = load(shop, tmp_path, "products", content)
    assert result.stdout == "loaded 0, updated 1, unchanged 0, rejected 0\n", result.output
    after = shop.get("/products/1").json
    assert (after["sku"], after["stock_level"]) == ("new sku", 7)
    assert after["updated_at"] > before["updated_at"]
    assert shop.get("/products/1/stock-adjustments").json["items"][0]["delta"] == 2


def test_a_key_that_belongs_to_another_row_is_rejected(shop, tmp_path):
    result = load(shop, tmp_path, "products", HEADS["products"] + "1,0012,Lamp,5,5\n")
    assert result.exit_code == 1
    assert reasons(tmp_path / "products.csv") == ["sku 0012 is taken by another product"]


def test_the_stock_of_an_archived_product_and_what_is_held_are_rejected(shop, tmp_path):
    held = {"quantity": 4, "expires_in": 900}
    assert shop.post("/products/1/holds", json=held).status_code == 201
    content = f"{HEADS['products']}1,1.0a,Lamp,5,3\n2,lamp,Lamp,5,9\n"
    result = load(shop, tmp_path, "products", content)
    assert result.stdout == "loaded 0, updated 0, unchanged 0, rejected 2\n", result.output
    held, archived = reasons(tmp_path / "products.csv")
    assert ("held" in held, "archived" in archived) == (True, True)
    assert shop.get("/products/1").json["stock_level"] == 5


def test_a_file_with_an_id_of_its_own_is_not_loaded_by_it(shop, tmp_path):
    command = load_command(shop.application, "products", tmp_path / "theirs.csv")
    result = command("id,sku,name,price,archived\n1,theirs,Lamp,5,maybe\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 0\n", result.output
    assert shop.get("/products/1").json["sku"] == "1.0"


def as_stored(text):
    """Return a text as the API stores it; None if it refuses it, as one that nobody can see."""
    try:
        return CleanText(10_000, multiline=True).deserialize(text)
    except ValidationError:
        return None


CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t")


@settings(max_examples=300)
@given(st.lists(st.text(CHARACTERS, min_size=1), min_size=1))
@example(["\ufeff", "\ufeff1\ufeff", "\u2028=1", "'\n1.0"])
def test_every_text_of_the_api_is_read_as_it_was_written(texts):
    texts = [stored for text in texts if (stored := as_stored(text))]
    head, write = CSV.make(["text", "time"])
    content = (head + write([(text, now()) for text in texts])).decode()
    file = io.TextIOWrapper(io.BytesIO(content.encode()), "utf-8", newline="")
    cells = [row.cells[0] for row in CsvReader(file)][1:]
    assert [parse_text(cell).strip() for cell in cells] == texts
    assert [parse_identifier(cell).strip() for cell in cells] == texts
