"""GraphQL documents that several modules send."""

ADD = """
mutation($book: ID!, $text: String!) {
    addReview(bookId: $book, rating: 5, reviewer: "Bea", text: $text) { id text }
}
"""
FOLLOW = "subscription($book: ID) { reviewAdded(bookId: $book) { cursor review { text } } }"
