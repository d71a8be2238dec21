// The page /live: connects the controls and the view with the feed of reviews, or with that of all changes.

import { Changes, KINDS, describe } from "./changes.js";
import { Feed } from "./feed.js";

const MAX_ITEMS = 200; // on the page
const TIMEOUT = 15_000; // ms for a response
const $ = (id) => document.getElementById(id);
const key = () => $("key").value.trim();
const parameters = () => new URLSearchParams(location.search);
const chosenBook = () => parameters().get("book") || null; // null: all books
const showsChanges = () => parameters().has("changes");
const checkboxes = [...$("kinds").querySelectorAll("input")];
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

function changeCard(change) {
  const { text, path } = describe(change);
  const node = element("li", "", { class: "card new", "data-kind": change.type.split(".")[0] });
  const line = element("p", path ? "" : text, { class: "line", dir: "auto" });
  if (path) line.append(element("a", text, { href: path }));
  const at = new Date(change.at);
  const time = element("time", at.toLocaleString(), { datetime: at.toISOString() });
  node.append(element("span", change.type, { class: "type" }), " ", time, line);
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
    $("add").hidden = $("none").hidden = $("quiet").hidden = true;
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
    this.add(card(review, true));
    $("none").hidden = true;
    return true;
  },

  change(change) {
    this.add(changeCard(change));
    $("quiet").hidden = true;
  },

  add(item) {
    $("reviews").prepend(item);
    if ($("reviews").children.length > MAX_ITEMS) $("reviews").lastElementChild.remove();
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
  begin(id === null ? "All books" : `Book ${id}`, id === null ? "" : `?book=${encodeURIComponent(id)}`);
  feed = new Feed(id, key(), view);
}

// Follows all changes of these kinds.
function watchChanges(kinds, cursor) {
  begin("All changes", kinds.length === KINDS.length ? "?changes" : `?changes=${kinds}`);
  for (const box of checkboxes) box.checked = kinds.includes(box.value);
  $("quiet").hidden = false;
  feed = new Changes(kinds, view, cursor);
}

// Follows other kinds from where the page is, and leaves what it shows of them.
function filterChanges(kinds) {
  const kept = [...$("reviews").children].filter((item) => kinds.includes(item.dataset.kind));
  watchChanges(kinds, feed.cursor);
  $("reviews").append(...kept);
  $("quiet").hidden = kept.length > 0;
}

function begin(title, search) {
  feed?.stop();
  view.nothing(title);
  $("added").textContent = "";
  history.replaceState(null, "", `${location.pathname}${search}`);
  $("kinds").hidden = !showsChanges();
  $("find").hidden = showsChanges();
  for (const button of $("choose-books").querySelectorAll("button")) mark(button);
}

// What the address says; names that are no kinds are left out.
function watchAddress() {
  if (!showsChanges()) return watch(chosenBook());
  const kinds = KINDS.filter((kind) => parameters().get("changes").split(",").includes(kind));
  watchChanges(kinds.length ? kinds : KINDS);
}

function choose(id) {
  watch(id);
  $("title").focus();
}

function mark(button) {
  const isBook = !showsChanges() && (button.dataset.book ?? null) === chosenBook();
  if (button.id === "changes" ? showsChanges() : isBook) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

let searches = 0;

async function findBooks() {
  const current = ++searches;
  const query = new URLSearchParams({ limit: "10" });
  if ($("q").value.trim()) query.set("q", $("q").value.trim());
  const response = await send(`books?${query}`, { headers: authorization() });
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
  watchAddress();
});
$("changes").addEventListener("click", () => watchChanges(KINDS));
$("kinds").addEventListener("change", ({ target }) => {
  const kinds = KINDS.filter((kind, at) => checkboxes[at].checked);
  if (kinds.length) filterChanges(kinds);
  else target.checked = true; // nothing would be shown
});
$("all").addEventListener("click", () => choose(null));
$("add").addEventListener("submit", addReview);

watchAddress();
findBooks();
