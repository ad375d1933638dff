// The role page: one click asks for credentials once and shows them in every
// form, secrets masked until Show. They live in this page's memory and are
// dropped when they expire. Without this module each form has its own button.

const form = document.querySelector("form[data-role]");
const part = (name) => form.querySelector(`[data-${name}]`);
const tabs = [...form.querySelectorAll("[role=tab]")];
const dots = "•".repeat(40);
const rememberedTab = "gatehouse.tab";

let given = null; // the last hand-out
let secrets = []; // what to mask in it
let clock = 0;
let asking = false;

part("plain").remove();
part("scripted").hidden = false;
part("get").addEventListener("click", get);
part("copy").addEventListener("click", copy);
part("show").addEventListener("click", () => reveal(part("show").getAttribute("aria-pressed") !== "true"));
part("download").addEventListener("click", download);
form.querySelector(".fields").addEventListener("input", () => {
  part("changed").hidden = !given;
});
form.addEventListener("keydown", (e) => {
  // Enter in a field means credentials, not the first button of the form.
  if (e.key !== "Enter" || !e.target.matches(".fields input")) return;
  e.preventDefault();
  get();
});
for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", walk);
}
select(tabs.find((t) => t.dataset.form === recall()) ?? usualTab());

// usualTab is the form that this machine most likely wants.
function usualTab() {
  const windows = /Windows/.test(navigator.userAgent);
  return tabs.find((t) => t.dataset.form === (windows ? "powershell" : "bash"));
}

async function get() {
  if (asking || !form.reportValidity()) return;
  busy(true);
  part("problem").hidden = true;
  try {
    const body = new URLSearchParams(new FormData(form));
    body.set("as", current().dataset.form);
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const told = await answer.json();
    if (answer.ok) take(told);
    else explain(told);
  } catch {
    explain({ title: "No answer.", text: "The portal could not be reached.", next: "Check your connection and try again." });
  }
  busy(false);
}

// busy says so on the button. It is not disabled in the HTML sense: the focus
// would be lost by that.
function busy(on) {
  asking = on;
  part("get").setAttribute("aria-disabled", String(on));
  part("get").classList.toggle("main", !given);
  part("get").textContent = on ? "Asking AWS…" : given ? "Get new credentials" : "Get credentials";
}

function take(told) {
  given = told;
  const keys = JSON.parse(told.forms.json.text);
  secrets = [keys.SecretAccessKey, keys.SessionToken];
  part("changed").hidden = true;
  part("lowered").textContent = told.lowered ?? "";
  part("lowered").hidden = !told.lowered;
  for (const t of form.querySelectorAll("time[data-at]")) {
    const at = new Date(told.expires);
    t.dateTime = told.expires;
    t.title = at.toISOString().slice(0, 16).replace("T", " ") + " UTC";
    t.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }
  part("result").hidden = part("expiry").hidden = false;
  reveal(false);
  clearInterval(clock);
  clock = setInterval(tick, 1000);
  tick();
}

// tick counts down, and drops what has expired.
function tick() {
  const left = Math.round((Date.parse(given.expires) - Date.now()) / 1000);
  const pad = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(left / 3600);
  part("left").textContent =
    left <= 0 ? "expired" : (hours ? `${hours}:${pad(Math.floor((left % 3600) / 60))}` : Math.floor(left / 60)) + `:${pad(left % 60)}`;
  part("left").className = "left" + (left <= 0 ? " over" : left < 600 ? " soon" : "");
  if (left > 0) return;
  clearInterval(clock);
  given = null;
  secrets = [];
  part("text").textContent = "";
  part("result").hidden = true;
  busy(false);
  explain({ title: "These credentials have expired.", text: "Get new ones to go on." });
}

// explain shows what went wrong; texts are set as texts, never as markup.
function explain(told) {
  const box = part("problem");
  const strong = document.createElement("strong");
  strong.textContent = told.title;
  box.replaceChildren(strong, " " + [told.text, told.cause, told.next].filter(Boolean).join(" "));
  if (told.login) box.append(" ", link(told.login, "Sign in"));
  if (told.cure) box.append(folded("For whoever runs this", told.cure));
  if (told.reference) box.append(small(`Reference ${told.reference}`));
  box.hidden = false;
}

function link(href, text) {
  const a = document.createElement("a");
  a.href = href;
  a.textContent = text;
  return a;
}

function folded(title, text) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = title;
  details.append(summary, text);
  return details;
}

function small(text) {
  const p = document.createElement("p");
  p.append(document.createElement("small"));
  p.firstChild.textContent = text;
  return p;
}

function current() {
  return tabs.find((t) => t.getAttribute("aria-selected") === "true");
}

function select(tab) {
  for (const t of tabs) {
    t.setAttribute("aria-selected", String(t === tab));
    t.tabIndex = t === tab ? 0 : -1;
  }
  form.querySelector("#sheet").setAttribute("aria-labelledby", tab.id);
  form.querySelector("#sheet [data-heading]").textContent = tab.dataset.heading;
  try {
    localStorage.setItem(rememberedTab, tab.dataset.form);
  } catch {} // storage may be switched off
  paint();
}

function recall() {
  try {
    return localStorage.getItem(rememberedTab);
  } catch {
    return null;
  }
}

// walk moves between tabs with the arrow keys (WAI-ARIA, tabs pattern).
function walk(e) {
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -tabs.indexOf(e.target), End: tabs.length - 1 - tabs.indexOf(e.target) }[e.key];
  if (step === undefined) return;
  e.preventDefault();
  const to = tabs[(tabs.indexOf(e.target) + step + tabs.length) % tabs.length];
  select(to);
  to.focus();
}

function reveal(on) {
  part("show").setAttribute("aria-pressed", String(on));
  part("show").textContent = on ? "Hide" : "Show";
  paint();
}

function paint() {
  part("copy").textContent = "Copy";
  if (!given) return;
  const shown = part("show").getAttribute("aria-pressed") === "true";
  const { text } = given.forms[current().dataset.form];
  part("text").textContent = shown ? text : secrets.reduce((t, s) => t.replaceAll(s, dots), text);
}

async function copy() {
  const { text } = given.forms[current().dataset.form];
  try {
    await navigator.clipboard.writeText(text);
    part("copy").textContent = "Copied";
  } catch {
    // No clipboard here (plain http, or not allowed): show and mark the text.
    reveal(true);
    getSelection().selectAllChildren(part("text"));
    part("copy").textContent = "Press Ctrl+C";
  }
}

function download() {
  const { text, filename } = given.forms[current().dataset.form];
  const a = link(URL.createObjectURL(new Blob([text])), filename);
  a.download = filename;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1000);
}
