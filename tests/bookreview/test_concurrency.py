from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.waiting import served

RATINGS = [1, 2, 3, 4, 5, 5, 5, 4] * 5


def test_simultaneous_reviews_of_a_book_all_count(app, client, book):
    emma = book()

    def add(rating):
        words = {"rating": rating, "reviewer": "Ana", "text": "One of many."}
        send = partial(app.test_client().post, f"/books/{emma}/reviews", json=words)
        return served(send).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(add, RATINGS)) == {201}
    shown = client.get(f"/books/{emma}").json
    assert shown["review_count"] == len(RATINGS)
    assert shown["average_rating"] == 3.63  # of 145 / 40 = 3.625


def test_simultaneous_reviews_of_different_books_count_for_their_books(app, client, book):
    made = [book() for _ in range(4)]

    def add(book_id):
        words = {"rating": book_id % 5 + 1, "reviewer": "Ana", "text": "One of many."}
        send = partial(app.test_client().post, f"/books/{book_id}/reviews", json=words)
        return served(send).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(add, made * 6)) == {201}
    shown = client.get("/books").json["items"]
    assert [(found["review_count"], found["average_rating"]) for found in shown] == [
        (6, float(book_id % 5 + 1)) for book_id in made
    ]
