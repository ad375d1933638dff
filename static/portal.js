// The portal's search box filters as one types, by the rule of portal.go: each
// word is in a role's name or in what the row says of its account. Enter leads
// to the first role that is left.

const form = document.querySelector("[data-roles]");
const box = document.querySelector(".search input");
const found = document.querySelector("[data-found]");
const nothing = document.querySelector("[data-nothing]");

greet(document.querySelector("[data-greet]"));
if (form && box && found && nothing) filterAsTyped();

// greet says good morning by the reader's clock, not the server's.
function greet(heading) {
  const first = heading?.firstChild;
  if (!first) return;
  const h = new Date().getHours();
  const part = h < 5 ? "evening" : h < 12 ? "morning" : h < 18 ? "afternoon" : "evening";
  first.textContent = `Good ${part}, `;
}

function filterAsTyped() {
  // A search that the server answered left the other rows out: it answers the
  // next one as well.
  const complete = box.value === "";
  const groups = [...form.querySelectorAll(".group")].map((node) => ({
    node,
    rows: [...node.querySelectorAll(".row")].map(rowOf),
  }));

  box.addEventListener("input", () => {
    if (complete) show(box.value);
    else if (box.value.trim() === "") location.assign("/");
  });
  box.form.addEventListener("submit", (e) => {
    const first = form.querySelector(".group:not([hidden]) .row:not([hidden]) .pair:not([hidden]) button");
    if (!complete || !first) return;
    e.preventDefault();
    first.focus();
  });
  box.addEventListener("keydown", (e) => {
    if (e.key !== "Escape" || box.value === "") return;
    e.preventDefault();
    box.value = "";
    box.dispatchEvent(new Event("input"));
  });

  function show(query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    let accounts = 0;
    let roles = 0;
    for (const group of groups) {
      let any = false;
      for (const row of group.rows) {
        let left = 0;
        for (const pair of row.pairs) {
          const match = words.every((w) => pair.name.includes(w) || row.about.includes(w));
          pair.node.hidden = !match;
          left += match ? 1 : 0;
        }
        row.node.hidden = left === 0;
        accounts += left ? 1 : 0;
        roles += left;
        any ||= left > 0;
      }
      group.node.hidden = !any;
    }
    nothing.hidden = roles > 0;
    nothing.querySelector("[data-query]").textContent = query.trim();
    found.textContent = words.length && roles ? `${count(accounts, "account")}, ${count(roles, "role")} match.` : "";
  }
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

function count(n, thing) {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}
