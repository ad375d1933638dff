// The role page: one click asks for credentials once and shows them in every
// form, secrets masked until Show. They live in this page's memory and are
// dropped when they expire. Without this module each form has its own button.
// What the server says is shown as text, never as markup; this module's own
// words are the page's (data-say-…).

const form = document.querySelector("form[data-role]");
const part = (name) => form.querySelector(`[data-${name}]`);
const said = form.dataset;
const tabs = [...form.querySelectorAll("[role=tab]")];
const dots = "•".repeat(40);
const rememberedTab = "gatehouse.tab";

let given = null; // the last hand-out
let secrets = []; // what to mask in it
let clock = 0;
let asking = false;
let address = ""; // the console's, once it was asked for

part("plain").remove();
part("scripted").hidden = part("get").hidden = false;
part("get").addEventListener("click", get);
part("park").addEventListener("click", park);
part("copy-line").addEventListener("click", () => toClipboard(part("line"), part("copy-line")));
part("link").addEventListener("click", makeAddress);
share();
part("copy").addEventListener("click", copy);
part("show").addEventListener("click", () => reveal(part("show").getAttribute("aria-pressed") !== "true"));
part("download").addEventListener("click", download);
form.querySelector(".fields").addEventListener("input", () => {
  part("changed").hidden = !given;
  forgetLine();
  share();
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

// ask sends the form for one thing, as one click.
async function ask(as, more = {}) {
  const body = new URLSearchParams(new FormData(form));
  body.set("as", as);
  body.set("once", click());
  for (const [name, value] of Object.entries(more)) body.set(name, value);
  part("problem").hidden = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const told = await answer.json();
    if (answer.ok) return told;
    explain(told);
  } catch {
    explain({ title: said.sayOffline, text: said.sayOfflineWhy });
  }
  return null;
}

async function get() {
  if (asking || !form.reportValidity()) return;
  busy(true);
  const told = await ask(current().dataset.form);
  if (told) take(told);
  busy(false);
}

// click names one click, by which the server knows the same one again.
function click() {
  return "c-" + [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// park asks for a line that fetches the credentials in the form that is shown.
let lineClock = 0;
async function park() {
  if (asking || !form.reportValidity()) return;
  asking = true;
  const told = await ask("pickup", { line: current().dataset.form });
  asking = false;
  if (!told) return;
  part("line").textContent = told.line;
  part("copy-line").hidden = false;
  part("copy-line").classList.add("main");
  part("copy-line").textContent = said.sayCopy;
  part("park").textContent = said.sayAnotherLine;
  const until = Math.min(Date.parse(told.until), Date.now() + 60e3);
  clearInterval(lineClock);
  const tick = () => {
    const left = Math.round((until - Date.now()) / 1000);
    if (left <= 0) forgetLine(said.sayLineOver);
    else if (left === 60 || left % 10 === 0 || !part("line-left").textContent) part("line-left").textContent = said.sayLineLeft.replace("{n}", left);
  };
  part("line-left").textContent = "";
  tick();
  lineClock = setInterval(tick, 1000);
}

function forgetLine(why = "") {
  if (part("copy-line").hidden) return;
  clearInterval(lineClock);
  part("line").textContent = lineSays();
  part("copy-line").hidden = true;
  part("park").textContent = said.sayMakeLine;
  part("line-left").textContent = why;
}

// lineSays is what stands where the line will be.
function lineSays() {
  return current().dataset.form === "ini" ? said.sayLineFile : said.sayLine;
}

// makeAddress shows that there is an address, and copies it.
async function makeAddress(e) {
  e.preventDefault();
  if (address) {
    toClipboard({ textContent: address }, part("link"));
    return;
  }
  if (asking || !form.reportValidity()) return;
  asking = true;
  const told = await ask("link");
  asking = false;
  if (!told) return;
  address = told.url;
  part("address").textContent = address.slice(0, 40) + "••••••••";
  part("address").hidden = false;
  part("link").textContent = said.sayCopy;
  setTimeout(() => {
    address = "";
    part("address").hidden = true;
    part("link").textContent = said.sayMakeAddress;
  }, 14 * 60e3);
}

// share keeps the link to this page as the fields are.
function share() {
  const code = part("share");
  const link = new URL(code.dataset.share);
  for (const name of ["destination", "scope"]) {
    const value = form.elements[name].value.trim();
    if (value) link.searchParams.set(name, value);
  }
  code.textContent = link.href;
  const button = part("copy-share");
  button.hidden = !navigator.clipboard;
  button.textContent = said.sayCopy;
  button.onclick = () => toClipboard(code, button);
}

async function toClipboard(node, button) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    button.textContent = said.sayCopied;
  } catch {
    if (node instanceof Node) getSelection().selectAllChildren(node);
    button.textContent = said.sayPress;
  }
  hear(button.textContent);
}

// hear says to who only hears the page what others see happen. A new text node
// is read out even where it says the same as the one before.
function hear(text) {
  part("heard").replaceChildren(text);
}

// busy says so on the button. It is not disabled in the HTML sense: the focus
// would be lost by that.
function busy(on) {
  asking = on;
  part("get").setAttribute("aria-disabled", String(on));
  part("get").classList.toggle("main", !given);
  part("get").textContent = on ? said.sayAsking : given ? said.sayRenew : said.sayGet;
}

function take(told) {
  given = told;
  const keys = JSON.parse(told.forms.json.text);
  secrets = [keys.SecretAccessKey, keys.SessionToken];
  part("changed").hidden = true;
  part("lowered").textContent = told.lowered ?? "";
  part("lowered").hidden = !told.lowered;
  part("limits").textContent = told.scope ? said.sayLimits.replace("{scope}", () => told.scope) : "";
  part("limits").hidden = !told.scope;
  for (const t of form.querySelectorAll("time[data-at]")) {
    const at = new Date(told.expires);
    t.dateTime = told.expires;
    t.title = at.toISOString().slice(0, 16).replace("T", " ") + " UTC";
    t.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }
  part("result").hidden = part("expiry").hidden = part("care").hidden = false;
  hear([said.sayArrived.replace("{time}", part("at").textContent), part("lowered").textContent, part("limits").textContent].filter(Boolean).join(" "));
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
    left <= 0 ? said.sayExpired : (hours ? `${hours}:${pad(Math.floor((left % 3600) / 60))}` : Math.floor(left / 60)) + `:${pad(left % 60)}`;
  part("left").className = "left" + (left <= 0 ? " over" : left < 600 ? " soon" : "");
  if (left > 0) return;
  clearInterval(clock);
  given = null;
  secrets = [];
  part("text").textContent = "";
  part("result").hidden = part("care").hidden = true;
  busy(false);
  explain({ title: said.sayOver, text: said.sayOverNext });
}

// explain shows what went wrong; texts are set as texts, never as markup.
function explain(told) {
  const box = part("problem");
  const strong = document.createElement("strong");
  strong.textContent = told.title;
  box.replaceChildren(strong, " " + [told.text, told.cause, told.next].filter(Boolean).join(" "));
  if (told.login) box.append(" ", link(told.login, said.saySignIn));
  if (told.cure) box.append(folded(said.sayCure, told.cure));
  if (told.reference) box.append(small(said.sayReference.replace("{reference}", told.reference)));
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
  const line = form.querySelector("[data-pickup]");
  line.hidden = !line.dataset.pickup.split(" ").includes(tab.dataset.form);
  forgetLine();
  part("line").textContent = lineSays();
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
  part("show").textContent = on ? said.sayHide : said.sayShow;
  paint();
}

function paint() {
  part("copy").textContent = said.sayCopy;
  if (!given) return;
  const shown = part("show").getAttribute("aria-pressed") === "true";
  const { text } = given.forms[current().dataset.form];
  part("text").textContent = shown ? text : secrets.reduce((t, s) => t.replaceAll(s, dots), text);
}

async function copy() {
  const { text } = given.forms[current().dataset.form];
  try {
    await navigator.clipboard.writeText(text);
    part("copy").textContent = said.sayCopied;
  } catch {
    // No clipboard here (plain http, or not allowed): show and mark the text.
    reveal(true);
    getSelection().selectAllChildren(part("text"));
    part("copy").textContent = said.sayPress;
  }
  hear(part("copy").textContent);
}

function download() {
  const { text, filename } = given.forms[current().dataset.form];
  const a = link(URL.createObjectURL(new Blob([text])), filename);
  a.download = filename;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1000);
}
