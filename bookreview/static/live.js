// The page /live: what is chosen and typed goes to the feed, what the feed says is shown.

import { Feed } from "./feed.js";

const MOST = 200; // reviews shown
const PATIENCE = 15_000; // ms for an answer
const $ = (id) => document.getElementById(id);
const key = () => $("key").value.trim();
let feed = null;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text; // never as markup: readers write these texts
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

function card(review, attributes = {}) {
  const made = element("li", "", { id: `review-${review.id}`, ...attributes });
  const stars = "★".repeat(review.rating) + "☆".repeat(5 - review.rating);
  const when = new Date(review.createdAt);
  made.append(
    element("span", stars, { class: "stars", role: "img", "aria-label": `${review.rating} of 5` }),
    " ",
    element("strong", review.reviewer),
    " ",
    element("time", when.toLocaleString(), { datetime: when.toISOString() }),
    element("p", review.text),
  );
  return made;
}

const shown = {
  // In place of a book, so that nothing is added to one that is not in view.
  nothing(why) {
    $("title").textContent = why;
    $("add").hidden = $("none").hidden = true;
    $("reviews").replaceChildren();
  },

  list({ book, reviews }) {
    $("title").textContent = `${book.title}, by ${book.author}`;
    $("add").hidden = false;
    $("reviews").setAttribute("aria-live", "off"); // only what is new is read out
    $("reviews").replaceChildren(...reviews.nodes.map((review) => card(review)));
    $("none").hidden = reviews.nodes.length > 0;
    setTimeout(() => $("reviews").setAttribute("aria-live", "polite"));
  },

  review(review) {
    if ($(`review-${review.id}`)) return false;
    $("reviews").prepend(card(review, { class: "new" }));
    if ($("reviews").children.length > MOST) $("reviews").lastElementChild.remove();
    $("none").hidden = true;
    return true;
  },

  state(name, words, until = null) {
    $("state").dataset.state = name;
    $("said").textContent = words;
    $("now").hidden = until === null;
    clearInterval(this.ticking);
    const tick = () => ($("countdown").textContent = `in ${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s`);
    $("countdown").textContent = "";
    if (until === null) return;
    tick();
    this.ticking = setInterval(tick, 250);
  },
};

function watch(id) {
  feed?.stop();
  $("book").hidden = false;
  shown.nothing(`Book ${id}`);
  $("added").textContent = "";
  history.replaceState(null, "", `?book=${encodeURIComponent(id)}`);
  for (const button of $("books").querySelectorAll("button")) mark(button, id);
  feed = new Feed(id, key(), shown);
}

function mark(button, id) {
  if (button.dataset.book === id) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

let search = 0;

async function findBooks() {
  const mine = ++search;
  const wanted = new URLSearchParams({ limit: "10" });
  if ($("q").value.trim()) wanted.set("q", $("q").value.trim());
  const answer = await send(`books?${wanted}`, { headers: authorization() });
  const found = answer?.ok ? (await answer.json().catch(() => null))?.items : null;
  if (mine === search) listBooks(found);
}

function listBooks(found) {
  const lines = found?.map(bookLine) ?? [element("li", "The books cannot be loaded now.")];
  $("books").replaceChildren(...(lines.length ? lines : [element("li", "No such book.")]));
}

function bookLine(book) {
  const button = element("button", book.title, { type: "button", "data-book": book.id });
  button.append(" ", element("span", book.author, { class: "author" }));
  button.addEventListener("click", () => {
    watch(String(book.id));
    $("title").focus();
  });
  mark(button, new URLSearchParams(location.search).get("book"));
  const line = element("li", "");
  line.append(button);
  return line;
}

const authorization = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

// Null where no answer came; a server that hangs gives none.
const send = (path, request) => fetch(path, { ...request, signal: AbortSignal.timeout(PATIENCE) }).catch(() => null);

async function addReview(event) {
  event.preventDefault();
  const form = event.target;
  const { rating, reviewer, text } = Object.fromEntries(new FormData(form));
  $("added").textContent = "";
  const answer = await send(`books/${feed.book}/reviews`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization() },
    body: JSON.stringify({ rating: Number(rating), reviewer, text }),
  });
  $("added").textContent = answer?.ok ? "Added." : await whyNot(answer);
  if (answer?.ok) form.elements.text.value = "";
}

async function whyNot(answer) {
  const problem = (await answer?.json().catch(() => null)) ?? { detail: "No answer came; it may have been added." };
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
$("now").addEventListener("click", () => feed.now());
$("key").addEventListener("change", () => {
  findBooks();
  if (feed) watch(feed.book);
});
$("add").addEventListener("submit", addReview);

const asked = new URLSearchParams(location.search).get("book");
if (asked) watch(asked);
findBooks();
