// The page /live: connects the controls and the view with the feed.

import { Feed } from "./feed.js";

const MAX_REVIEWS = 200; // on the page
const TIMEOUT = 15_000; // ms for a response
const $ = (id) => document.getElementById(id);
const key = () => $("key").value.trim();
const chosenBook = () => new URLSearchParams(location.search).get("book") || null; // null: all books
let feed = null;

function element(name, text, attributes = {}) {
  const node = document.createElement(name);
  node.textContent = text; // never as markup: users write these texts
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, value);
  return node;
}

function card(review, isNew = false) {
  const node = element("li", "", { id: `review-${review.id}`, class: isNew ? "card new" : "card" });
  const stars = "★".repeat(review.rating) + "☆".repeat(5 - review.rating);
  const created = new Date(review.createdAt);
  node.append(
    element("span", stars, { class: "stars", role: "img", "aria-label": `${review.rating} of 5` }),
    " ",
    // Isolated: marks of direction in one text would turn its neighbours around.
    element("strong", review.reviewer, { dir: "auto" }),
    " ",
    element("time", created.toLocaleString(), { datetime: created.toISOString() }),
    element("p", review.text, { dir: "auto" }),
  );
  if (feed.book === null) node.prepend(bookLink(review));
  return node;
}

// A link, so that it can also be opened in another tab.
function bookLink({ bookId, bookTitle }) {
  const link = element("a", bookTitle ?? `Book ${bookId}`, { class: "book", href: `?book=${bookId}`, dir: "auto" });
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose(bookId);
  });
  const line = element("div", "");
  line.append(link);
  return line;
}

const view = {
  // Replaces the books, so that no review is added to one that is not visible.
  nothing(reason) {
    $("title").textContent = reason;
    $("add").hidden = $("none").hidden = true;
    $("reviews").replaceChildren();
  },

  list({ book, reviews }) {
    if (book) {
      $("title").replaceChildren(element("bdi", book.title), ", by ", element("bdi", book.author));
      $("add").hidden = false;
    }
    $("reviews").setAttribute("aria-live", "off"); // screen readers announce only new reviews
    $("reviews").replaceChildren(...reviews.nodes.map((review) => card(review)));
    $("none").hidden = reviews.nodes.length > 0;
    setTimeout(() => $("reviews").setAttribute("aria-live", "polite"));
  },

  review(review) {
    if ($(`review-${review.id}`)) return false;
    $("reviews").prepend(card(review, true));
    if ($("reviews").children.length > MAX_REVIEWS) $("reviews").lastElementChild.remove();
    $("none").hidden = true;
    return true;
  },

  state(name, text, until = null) {
    $("state").dataset.state = name;
    $("status").textContent = text;
    $("retry").hidden = until === null;
    clearInterval(this.ticking);
    const tick = () => ($("countdown").textContent = `in ${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s`);
    $("countdown").textContent = "";
    if (until === null) return;
    tick();
    this.ticking = setInterval(tick, 250);
  },
};

// Follows one book, or all of them for null.
function watch(id) {
  feed?.stop();
  view.nothing(id === null ? "All books" : `Book ${id}`);
  $("added").textContent = "";
  history.replaceState(null, "", id === null ? location.pathname : `?book=${encodeURIComponent(id)}`);
  for (const button of $("choose-books").querySelectorAll("button")) mark(button);
  feed = new Feed(id, key(), view);
}

function choose(id) {
  watch(id);
  $("title").focus();
}

function mark(button) {
  if ((button.dataset.book ?? null) === chosenBook()) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

let searches = 0;

async function findBooks() {
  const current = ++searches;
  const parameters = new URLSearchParams({ limit: "10" });
  if ($("q").value.trim()) parameters.set("q", $("q").value.trim());
  const response = await send(`books?${parameters}`, { headers: authorization() });
  const books = response?.ok ? (await response.json().catch(() => null))?.items : null;
  if (current === searches) listBooks(books);
}

function listBooks(books) {
  const items = books?.map(bookItem) ?? [element("li", "The books cannot be loaded now.")];
  $("books").replaceChildren(...(items.length ? items : [element("li", "No book found.")]));
}

function bookItem(book) {
  const button = element("button", book.title, { type: "button", "data-book": book.id });
  button.append(" ", element("span", book.author, { class: "author" }));
  button.addEventListener("click", () => choose(String(book.id)));
  mark(button);
  const item = element("li", "");
  item.append(button);
  return item;
}

const authorization = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

// Returns null without a response, for example when the server hangs.
const send = (path, request) => fetch(path, { ...request, signal: AbortSignal.timeout(TIMEOUT) }).catch(() => null);

async function addReview(event) {
  event.preventDefault();
  const form = event.target;
  const { rating, reviewer, text } = Object.fromEntries(new FormData(form));
  $("added").textContent = "";
  const response = await send(`books/${feed.book}/reviews`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization() },
    body: JSON.stringify({ rating: Number(rating), reviewer, text }),
  });
  $("added").textContent = response?.ok ? "Added." : await failureText(response);
  if (response?.ok) form.elements.text.value = "";
}

async function failureText(response) {
  const problem = (await response?.json().catch(() => null)) ?? { detail: "There was no response; the review may have been added." };
  return problem.errors?.map(({ pointer, detail }) => `${pointer.slice(1)}: ${detail}`).join(" ") ?? problem.detail;
}

let typing;
$("q").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(findBooks, 200);
});
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  findBooks();
});
$("retry").addEventListener("click", () => feed.retryNow());
$("key").addEventListener("change", () => {
  findBooks();
  watch(feed.book);
});
$("all").addEventListener("click", () => choose(null));
$("add").addEventListener("submit", addReview);

watch(chosenBook());
findBooks();
