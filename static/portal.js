// The portal: a search box that filters as one types, keys that lead from role
// to role, and stars. Without it the list is the same, and the server searches.
// Its words are the page's (data-say-…).

const form = document.querySelector("[data-roles]");
const box = document.querySelector(".search input");
const found = document.querySelector("[data-found]");
const nothing = document.querySelector("[data-nothing]");
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const keysOff = "gatehouse.keys.off";

greet(document.querySelector("[data-greet]"));
if (form) {
  name(form);
  filterAsTyped();
  walkWithKeys();
  stars();
}

// greet says good morning by the reader's clock, not the server's.
function greet(heading) {
  const first = heading?.firstChild;
  if (!first) return;
  const h = new Date().getHours();
  const { sayMorning, sayAfternoon, sayEvening } = heading.dataset;
  first.textContent = (h < 5 || h >= 18 ? sayEvening : h < 12 ? sayMorning : sayAfternoon) + " ";
}

// name tells those who only hear the page which account a button is about.
// The page leaves it out: of 2,000 roles that would be a third of its bytes.
function name(part) {
  for (const row of part.querySelectorAll(".row")) {
    const account = row.querySelector("h3").textContent;
    row.querySelector(".star").setAttribute("aria-label", fill(form.dataset.sayStar, { account }));
    for (const control of row.querySelectorAll(".pair > button, .pair > a")) {
      control.setAttribute("aria-label", fill(control.tagName === "A" ? form.dataset.sayKeys : form.dataset.sayConsole, { role: control.textContent.trim(), account }));
    }
  }
}

function filterAsTyped() {
  // A search that the server answered left the other rows out: it answers the
  // next one as well.
  const complete = box.value === "";
  const shelves = [...document.querySelectorAll(".shelf")];
  const applications = document.querySelector("[data-applications]");
  let groups;

  box.addEventListener("input", () => {
    if (complete) show(box.value);
    else if (box.value.trim() === "") location.assign("/");
  });
  box.form.addEventListener("submit", (e) => {
    const first = controls()[0];
    if (!complete || !first) return;
    e.preventDefault();
    first.focus();
  });
  box.addEventListener("keydown", (e) => {
    if (e.key === "ArrowDown") {
      e.preventDefault();
      controls()[0]?.focus();
    }
    if (e.key !== "Escape" || box.value === "") return;
    e.preventDefault();
    box.value = "";
    box.dispatchEvent(new Event("input"));
  });

  function show(query) {
    groups ??= [...form.querySelectorAll(".group:not(.shelf)")].map((node) => ({ node, rows: [...node.querySelectorAll(".row")].map(rowOf) }));
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    let accounts = 0;
    let roles = 0;
    for (const shelf of shelves) set(shelf, words.length > 0 || !shelf.querySelector(".row, .app"));
    let opens = 0;
    for (const app of applications?.querySelectorAll(".app") ?? []) {
      const name = app.querySelector("bdi").textContent.toLowerCase();
      set(app, !words.every((w) => name.includes(w)));
      opens += app.hidden ? 0 : 1;
    }
    if (applications) set(applications, opens === 0);
    for (const group of groups) {
      let any = false;
      for (const row of group.rows) {
        const left = words.filter((w) => !row.about.includes(w));
        let some = 0;
        for (const pair of row.pairs) {
          const match = left.every((w) => pair.name.includes(w));
          some += match ? 1 : 0;
          pair.match = match;
        }
        // A row that goes takes its roles along.
        if (some) for (const pair of row.pairs) set(pair.node, !pair.match);
        set(row.node, some === 0);
        accounts += some ? 1 : 0;
        roles += some;
        any ||= some > 0;
      }
      set(group.node, !any);
    }
    nothing.hidden = roles + opens > 0;
    nothing.querySelector("[data-query]").textContent = query.trim();
    tell(words.length ? matched(accounts, roles, opens) : "", roles + opens === 0);
  }
}

// matched says what a search has found.
function matched(accounts, roles, opens) {
  const { sayMatch, sayAccounts, sayRoles, sayOpens, sayNothing } = form.dataset;
  if (roles) return fill(sayMatch, { accounts: count(accounts, sayAccounts), roles: count(roles, sayRoles) });
  return opens ? count(opens, sayOpens) : sayNothing;
}

// tell says it to everybody; that nothing was found others see below.
function tell(text, unseen) {
  if (found.textContent !== text) found.textContent = text;
  found.classList.toggle("unseen", unseen);
}

// set touches the page only where something changes.
function set(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

function rowOf(node) {
  const say = (selector) => node.querySelector(selector)?.textContent ?? "";
  const digits = say(".num");
  return {
    node,
    about: [say("h3"), say(".env"), digits, digits.replaceAll(" ", ""), say(".owner")].join("\n").toLowerCase(),
    pairs: [...node.querySelectorAll(".pair")].map((pair) => ({
      node: pair,
      name: pair.firstElementChild.textContent.toLowerCase(),
    })),
  };
}

// controls are the first buttons of all roles that are shown, in order.
function controls() {
  return [...document.querySelectorAll(".group:not([hidden]) .row:not([hidden]) .pair:not([hidden]), [data-applications]:not([hidden]) .app:not([hidden])")].map(control);
}

function control(pair) {
  return pair.querySelector("button, a");
}

function walkWithKeys() {
  const dialog = document.querySelector("[data-keys]");
  const help = document.querySelector("[data-help]");
  const on = dialog.querySelector("[data-keys-on]");
  on.checked = !stored(keysOff);
  on.addEventListener("change", () => store(keysOff, on.checked ? null : "1"));
  help.hidden = false;
  help.addEventListener("click", () => dialog.showModal());

  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || dialog.open || e.target.closest?.("input, select, textarea")) return;
    const pair = e.target.closest?.(".pair");
    if (move(e.key, e.target, pair)) {
      e.preventDefault();
      return;
    }
    if (!on.checked) return;
    if (e.key === "?") dialog.showModal();
    else if (pair) act(e.key, pair);
    else return;
    if ("?kcf".includes(e.key)) e.preventDefault();
  });
}

// move leads up and down from row to row, and along a row.
function move(key, from, pair) {
  if (!["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(key)) return false;
  if (!pair) {
    if (key !== "ArrowDown" || from !== document.body) return false;
    controls()[0]?.focus();
    return true;
  }
  const row = pair.closest(".row");
  const inRow = [...row.querySelectorAll(".pair:not([hidden]) > button, .pair:not([hidden]) > a")];
  const at = inRow.indexOf(document.activeElement);
  if (key === "ArrowLeft" || key === "ArrowRight") {
    inRow[at + (key === "ArrowRight" ? 1 : -1)]?.focus();
    return true;
  }
  const rows = [...form.querySelectorAll(".group:not([hidden]) .row:not([hidden])")];
  const next = rows[rows.indexOf(row) + (key === "ArrowDown" ? 1 : -1)];
  if (!next) {
    if (key === "ArrowUp") box.focus();
    return true;
  }
  const there = [...next.querySelectorAll(".pair:not([hidden]) > button, .pair:not([hidden]) > a")];
  there[Math.min(at, there.length - 1)].focus();
  return true;
}

// act does what a letter stands for, to the role that has the focus.
function act(key, pair) {
  const link = pair.querySelector("a");
  if (key === "k") link.click();
  if (key === "f") pair.closest(".row").querySelector(".star").click();
  if (key === "c") copy(new URL(link.pathname.replace("/roles/", "/go/"), location.href).href);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say(form.dataset.sayCopied);
  } catch {
    say(text);
  }
}

// say tells what happened, and lets it fade.
let silence = 0;
function say(text) {
  const toast = document.querySelector("[data-said]");
  toast.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (toast.textContent = ""), 6000);
}

// stars keeps the list where it is while the server takes note.
function stars() {
  document.addEventListener("click", async (e) => {
    const star = e.target.closest(".star");
    if (!star) return;
    e.preventDefault();
    if (star.getAttribute("aria-disabled")) return;
    star.setAttribute("aria-disabled", "true");
    try {
      const answer = await fetch(star.formAction, {
        method: "POST",
        body: new URLSearchParams({ [star.name]: star.value }),
        headers: { Accept: "application/json" },
      });
      const told = await answer.json();
      if (answer.ok) (told.favourites ? shine : shineApplications)(told.favourites ?? told.applications);
      else if (told.login) location.assign(told.login);
      else say(`${told.title} ${told.text}`);
    } catch {
      say(form.dataset.sayOffline);
    }
    star.removeAttribute("aria-disabled");
  });
}

function shine(favourites) {
  const shelf = form.querySelector("[data-shelf=favourites]");
  const list = shelf.querySelector("ul");
  const held = list.contains(document.activeElement) && document.activeElement.closest(".row").querySelector(".star").value;
  for (const star of form.querySelectorAll(".star")) light(star, favourites.includes(star.value));
  const rows = [...form.querySelectorAll(".group:not(.shelf) .row")].filter((row) => favourites.includes(row.querySelector(".star").value));
  const byName = (a, b) => a.querySelector("h3").textContent.toLowerCase().localeCompare(b.querySelector("h3").textContent.toLowerCase());
  list.replaceChildren(...rows.sort(byName).map((row) => whole(row.cloneNode(true))));
  shelf.hidden = rows.length === 0 || box.value.trim() !== "";
  // The row that had the focus is gone from the shelf, or made anew: go on there.
  if (held) form.querySelector(`.group:not([hidden]) .star[value="${held}"]`)?.focus();
}

function shineApplications(favourites) {
  const shelf = document.querySelector("[data-shelf=applications]");
  const held = shelf.contains(document.activeElement) && document.activeElement.value;
  for (const star of document.querySelectorAll(".app .star")) light(star, favourites.includes(star.value));
  const chosen = [...document.querySelectorAll("[data-applications] .app")].filter((app) => favourites.includes(app.querySelector(".star").value));
  shelf.querySelector("p").replaceChildren(...chosen.flatMap((app) => [whole(app.cloneNode(true)), " "]));
  shelf.hidden = chosen.length === 0 || box.value.trim() !== "";
  if (held) [...document.querySelectorAll(".group:not([hidden]) .app .star")].find((star) => star.value === held)?.focus();
}

function light(star, on) {
  star.name = on ? "unstar" : "star";
  star.setAttribute("aria-pressed", String(on));
  star.textContent = on ? "★" : "☆";
}

function whole(row) {
  row.hidden = false;
  for (const star of row.querySelectorAll(".star")) star.removeAttribute("aria-disabled");
  for (const pair of row.querySelectorAll(".pair")) pair.hidden = false;
  return row;
}

// count chooses between the words for one and for any other number.
function count(n, words) {
  const [one, others] = words.split("|");
  return fill(n === 1 ? one : others, { n });
}

function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage may be switched off
  }
}

function store(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {}
}
