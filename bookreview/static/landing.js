// The landing page: the figures of the shop, and commands that are right for this service.

const TIMEOUT = 15_000; // ms for a response
const $ = (id) => document.getElementById(id);

// Returns null for any failure: the page is useful without the data.
async function load(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT) }).catch(() => null);
  return response?.ok ? response.json().catch(() => null) : null;
}

async function showFigures() {
  const figures = await load("figures");
  if (figures === null) {
    $("no-figures").textContent = "The figures cannot be read now; the readiness below says more.";
    return;
  }
  for (const node of document.querySelectorAll("[data-figure]")) {
    node.textContent = figures[node.dataset.figure].toLocaleString("en");
  }
}

// The third command adds a review: it needs a book that exists.
async function chooseBook() {
  const books = (await load("books?limit=1"))?.items;
  if (books?.length) $("book").textContent = books[0].id;
  $("no-book").hidden = books?.length !== 0;
}

function offerCopy(button) {
  const card = button.parentElement;
  button.hidden = false;
  button.setAttribute("aria-label", `Copy the command: ${card.querySelector("h3").textContent}`);
  button.addEventListener("click", () => copy(card.querySelector("code")));
}

// Browsers offer the clipboard to pages over HTTPS and of this machine only, and users may deny it.
async function copy(command) {
  try {
    await navigator.clipboard.writeText(command.textContent);
    $("copied").textContent = "The command is in the clipboard.";
  } catch {
    getSelection().selectAllChildren(command);
    $("copied").textContent = "The command is selected: copy it with the keyboard.";
  }
}

const address = new URL(".", location.href).href.slice(0, -1);
for (const node of document.querySelectorAll(".address")) node.textContent = address;
document.querySelectorAll(".copy").forEach(offerCopy);
showFigures();
chooseBook();
