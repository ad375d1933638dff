// What every page does once it is there: times in the reader's own zone, the
// person menu, and the key that leads to the search box. Without it pages
// show UTC and work as they are.

for (const t of document.querySelectorAll("time[datetime]")) {
  const at = new Date(t.dateTime);
  const today = at.toDateString() === new Date().toDateString();
  const day = "full" in t.dataset ? { day: "numeric", month: "short", year: "numeric" } : today ? {} : { weekday: "short" };
  t.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...day });
  t.title = at.toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

const menu = document.querySelector("details.menu");
if (menu) {
  addEventListener("click", (e) => {
    if (!menu.contains(e.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (e) => {
    if (e.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  // Browsers may keep a page that says no-store and show it again on Back,
  // after a sign-out too.
  addEventListener("pageshow", (e) => {
    if (e.persisted) location.reload();
  });
}

// off is whether this browser's person wants no single keys (portal.js asks).
function off() {
  try {
    return localStorage.getItem("gatehouse.keys.off");
  } catch {
    return null; // storage may be switched off
  }
}

// Links of AWS's own portal hold everything behind the #, which no server sees.
if (/^#\/console\?/.test(location.hash)) location.replace("/go?" + location.hash.slice("#/console?".length));

const search = document.querySelector(".search input");
if (search) {
  addEventListener("keydown", (e) => {
    const typing = e.target.closest?.("input, select, textarea, [contenteditable]");
    if (e.key !== "/" || typing || e.ctrlKey || e.metaKey || e.altKey || off()) return;
    e.preventDefault();
    search.focus();
    search.select();
  });
}
