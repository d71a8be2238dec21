def test_a_book_that_was_added_can_be_read(client, book):
    emma = book(isbn="0-439-02348-3", published_year=1815)
    answer = client.get(f"/books/{emma}")
    assert answer.status_code == 200
    assert answer.json["isbn"] == "9780439023481"


def test_reviews_count_into_their_book(client, book, review):
    emma = book()
    for rating in (5, 4, 4):
        review(emma, rating=rating)
    shown = client.get(f"/books/{emma}").json
    assert (shown["review_count"], shown["average_rating"]) == (3, 4.33)
    page = client.get(f"/books/{emma}/reviews?limit=2").json
    rest = client.get(f"/books/{emma}/reviews?limit=2&cursor={page['next_cursor']}").json
    assert [r["rating"] for r in page["items"] + rest["items"]] == [4, 4, 5]
    assert rest["next_cursor"] is None
