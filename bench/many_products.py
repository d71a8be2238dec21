"""Products by the million, whose names are made of words: some in every tenth, some in a few."""

import io
import random
from collections.abc import Iterator

from bench.timing import tidy
from inventory.models import fold
from stress.data import engine_of, migrate


def words(text: str) -> list[str]:
    """Split a text where it is blank."""
    return text.split()


SKUS = "BK-{:07d}"
THINGS = words(
    "Bookmark Notebook Lamp Pen Diary Candle Bookend Shelf Poster Puzzle Mug Tote Calendar "
    "Globe Ink Stamp Ruler Cushion Blanket Clock Lens Print Ribbon Sketchbook Album Folder "
    "Tray Stand"
)
KINDS = words(
    "Reading Pocket Travel Desk Wall Classic Folding Magnetic Leather Linen Oak Brass "
    "Cotton Glass Recycled Vintage Ruled Dotted Blank Scented Enamel Bamboo Walnut Felt "
    "Woven Ceramic Marbled"
)
COLOURS = words(
    "Blue Black Red Green Ivory Grey Ochre Rosé Teal Plum Sand Navy Coral Cyan Amber Crème "
    "Äpfelgrün"
)
SIZES = words("A4 A5 A6 B5 S M L XL 6-pack 12-pack 10x15 20x30 No.1 No.2")
SYLLABLES = words("ba lo mi ren tal vor sko ner hal dun fel gra lin mar ost pel ri ste tor wen")
RARE, RARE_EVERY = "Quokka", 50_000


def fill(name: str, url: str, count: int) -> None:
    """Add ``count`` products, and the index of the parts of their names when they are there."""
    migrate(url, "0003")
    if name == "PostgreSQL":
        _copy(url, count)
    else:
        _insert(url, count)
    migrate(url)
    tidy(name, url)


def _products(count: int) -> Iterator[tuple[str, str, int, int, str]]:
    """Yield SKU, name, cents, stock and folded name; the same at every run."""
    chance = random.Random(11)
    brands = [_brand(chance) for _ in range(5_000)]
    weights = [1 / (rank + 10) for rank in range(len(brands))]
    made = chance.choices(brands, weights, k=count)
    for number, brand in enumerate(made, 1):
        kinds = " ".join(chance.sample(KINDS, chance.randint(1, 2)))
        parts = [brand, kinds, chance.choice(THINGS), chance.choice(COLOURS), chance.choice(SIZES)]
        if number % RARE_EVERY == RARE_EVERY // 2:
            parts.insert(2, RARE)
        title = f"{' '.join(parts)} {chance.randint(1, 9999)}"
        cents = chance.randint(1, 200) * 100 - chance.choice((1, 5, 10, 50, 100))
        yield SKUS.format(number), title, cents, chance.randint(0, 499), fold(title)


def _brand(chance: random.Random) -> str:
    return "".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))).capitalize()


def _copy(url: str, count: int) -> None:
    lines = (
        f"{sku}\t{name}\t{cents}\t{stock}\t1\t2024-01-01T00:00:00Z\t{folded}\n"
        for sku, name, cents, stock, folded in _products(count)
    )
    connection = engine_of(url).raw_connection()
    connection.cursor().copy_expert(
        "COPY product (sku, name, price, stock_level, version, updated_at, folded) FROM STDIN",
        io.StringIO("".join(lines)),
    )
    connection.commit()
    connection.close()


def _insert(url: str, count: int) -> None:
    connection = engine_of(url).raw_connection()
    connection.cursor().executemany(
        "INSERT INTO product (sku, name, price, stock_level, version, updated_at, folded)"
        " VALUES (?, ?, ?, ?, 1, '2024-01-01 00:00:00.000000', ?)",
        list(_products(count)),
    )
    connection.commit()
    connection.close()
