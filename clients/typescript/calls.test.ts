// The obvious calls, with the types that openapi-typescript generates: see ../__main__.py.
// Where the types say more than this program needs, `@ts-expect-error` proves that they do.

import assert from "node:assert/strict";
import test from "node:test";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Book = components["schemas"]["Book"];
type Problem = components["schemas"]["Problem"];

const { SERVICE, KEY } = process.env;
const client = createClient<paths>({ baseUrl: SERVICE, headers: { Authorization: `Bearer ${KEY}` } });

// Throws the problem if the call failed: openapi-fetch returns either data or error.
function unwrap<T>(result: { data?: T; error?: Problem }): T {
  if (result.error) throw new Error(`${result.error.status}: ${result.error.detail}`);
  assert.ok(result.data !== undefined);
  return result.data;
}

async function newProduct(sku: string, stock_level?: number) {
  return unwrap(await client.POST("/products", { body: { sku, name: "Oak bookmark", price: "19.99", stock_level } }));
}

test("a book needs a title and an author only", async () => {
  const created = await client.POST("/books", { body: { title: "Emma", author: "Jane Austen" } });
  const book: Book = unwrap(created);
  const isbn: string | null = book.isbn;
  const rating: number | null = book.average_rating;
  assert.deepEqual([isbn, rating, book.published_year], [null, null, null]);
  assert.equal(created.response.headers.get("Location"), `/books/${book.id}`);
  const found = await client.GET("/books/{book_id}", { params: { path: { book_id: book.id } } });
  assert.deepEqual(unwrap(found), book);
});

test("a list is read without parameters, or page by page", async () => {
  for (const title of ["Persuasion", "Sanditon"]) {
    unwrap(await client.POST("/books", { body: { title, author: "Jane Austen", isbn: null, published_year: 1817 } }));
  }
  const titles: string[] = [];
  let cursor: string | undefined;
  do {
    const query = { limit: 1, author: "austen", cursor };
    const page = unwrap(await client.GET("/books", { params: { query } }));
    titles.push(...page.items.map((book) => book.title));
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  const all = unwrap(await client.GET("/books"));
  assert.ok(titles.includes("Sanditon") && titles.length <= all.items.length);
  const counted = unwrap(await client.GET("/books", { params: { query: { include_total: true } } }));
  assert.equal(counted.total, all.items.length);
});

test("a review is created, listed and read by its id", async () => {
  const { id } = unwrap(await client.POST("/books", { body: { title: "Emma", author: "Jane Austen" } }));
  const params = { path: { book_id: id } };
  const body = { rating: 5, reviewer: "Ana", text: "Good." };
  const review = unwrap(await client.POST("/books/{book_id}/reviews", { params, body }));
  const listed = unwrap(await client.GET("/books/{book_id}/reviews", { params }));
  assert.deepEqual(listed.items, [review]);
  const found = await client.GET("/reviews/{review_id}", { params: { path: { review_id: review.id } } });
  assert.deepEqual(unwrap(found), review);
});

test("a product is created, found and changed under its version", async () => {
  const product = await newProduct("TS-1");
  assert.deepEqual([product.price, product.stock_level], ["19.99", 0]);
  const query = { name: "oak", min_price: "5", sort: "-price" } as const;
  const found = unwrap(await client.GET("/products/search", { params: { query } }));
  assert.deepEqual(found.items, [product]);
  const sorted = unwrap(await client.GET("/products", { params: { query: { sort: "name" } } }));
  assert.ok(sorted.items.length >= 1);

  const path = { product_id: product.id };
  const { response } = await client.GET("/products/{product_id}", { params: { path } });
  const header = { "If-Match": response.headers.get("ETag") ?? "" };
  const change = { params: { path, header }, body: { price: 17.5 } };
  assert.equal(unwrap(await client.PATCH("/products/{product_id}", change)).price, "17.50");
  const lost = await client.PATCH("/products/{product_id}", change);
  assert.equal(lost.error?.status, 412);
  const unconditional = { params: { path }, body: { stock_level: 3 } };
  assert.equal(unwrap(await client.PATCH("/products/{product_id}", unconditional)).stock_level, 3);
});

test("stock is adjusted with and without a reason", async () => {
  const { id } = await newProduct("TS-2", 3);
  const params = { path: { product_id: id } };
  const route = "/products/{product_id}/stock-adjustments";
  assert.equal(unwrap(await client.POST(route, { params, body: { delta: 2 } })).stock_level, 5);
  const header = { "Idempotency-Key": "order-42" };
  const order = { params: { ...params, header }, body: { delta: -4, reason: "order 42" } };
  for (const _ of [1, 2]) assert.equal(unwrap(await client.POST(route, order)).stock_level, 1);
  const ledger = unwrap(await client.GET(route, { params }));
  const reasons: (string | null)[] = ledger.items.map((adjustment) => adjustment.reason);
  assert.deepEqual(reasons, ["order 42", null, "first stock"]);
  const { error } = await client.POST(route, { params, body: { delta: -9 } });
  assert.equal(error?.status, 409);
});

test("an error is a problem, whatever its status", async () => {
  const invalid = await client.POST("/books", { body: { title: "", author: "Jane Austen" } });
  assert.ok(invalid.error);
  const problem: Problem = invalid.error;
  assert.deepEqual([problem.status, problem.errors?.[0]?.pointer, problem.errors?.[0]?.in], [422, "/title", "body"]);
  const unknown = await client.GET("/books/{book_id}", { params: { path: { book_id: 2_000_000_000 } } });
  assert.equal(unknown.error?.detail, "There is no book 2000000000.");
});

test("wrong calls do not compile", () => {
  const wrong = [
    // @ts-expect-error: a book needs an author
    () => client.POST("/books", { body: { title: "Emma" } }),
    // @ts-expect-error: a rating is a number
    () => client.POST("/books/{book_id}/reviews", { params: { path: { book_id: 1 } }, body: { rating: "5", reviewer: "A", text: "T" } }),
    // @ts-expect-error: there is no such order
    () => client.GET("/products", { params: { query: { sort: "stock" } } }),
    // @ts-expect-error: a body is required
    () => client.PATCH("/products/{product_id}", { params: { path: { product_id: 1 } } }),
    // @ts-expect-error: books cannot be deleted
    () => client.DELETE("/books/{book_id}", { params: { path: { book_id: 1 } } }),
  ];
  assert.equal(wrong.length, 5);
});
