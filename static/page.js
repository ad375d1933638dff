// What every page does once it is there: times in the reader's own zone, the
// person menu, the key that leads to the search box, clicks that count once,
// and word of a session that is about to end. Without it pages show UTC and work as they are. Its
// words are the page's (data-say-…).

for (const t of document.querySelectorAll("time[datetime]")) {
  const at = new Date(t.dateTime);
  const today = at.toDateString() === new Date().toDateString();
  const day = "full" in t.dataset ? { day: "numeric", month: "short", year: "numeric" } : today ? {} : { weekday: "short" };
  t.textContent = clock(at, day);
  t.title = at.toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

// clock is a time of day as the reader's clock shows it.
function clock(at, day = {}) {
  return at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...day });
}

// A click counts once: no second one passes while the first is on its way, and
// each has a name of its own, by which the server knows a reload.
let last = -Infinity;
let by = null;
addEventListener(
  "submit",
  (e) => {
    if (e.target.method !== "post") return;
    const now = performance.now();
    if (now - last < 1000 && by === (e.submitter ?? e.target)) {
      e.preventDefault();
      return;
    }
    [last, by] = [now, e.submitter ?? e.target];
    const name = e.target.elements.once;
    if (name) name.value = "c-" + [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  },
  true,
);

const strip = document.querySelector("[data-ending]");
if (strip) watchTheEnd();

// watchTheEnd says two minutes before it that the session ends, and lets it go
// on by one click where it may. The server is asked first, since other tabs
// count as well; asking is no use of the session.
function watchTheEnd() {
  const said = strip.dataset;
  const early = 120e3;
  let until, most, timer, shown;
  let back = null; // what had the focus before the strip

  const learn = ({ left, most: at }) => {
    until = Date.now() + left * 1000;
    most = Date.now() + at * 1000;
  };
  const wait = () => {
    const left = until - Date.now();
    clearTimeout(timer);
    // Timers stand still while a machine sleeps: look at least every minute.
    timer = setTimeout(look, Math.min(60e3, Math.max(left > early ? left - early : left, 500)));
  };
  const look = async (now) => {
    if (now === true || until - Date.now() <= early) await ask("GET");
    tell();
    if (until > Date.now()) wait();
  };
  const ask = async (method) => {
    try {
      const answer = await fetch(said.ending, { method, headers: { Accept: "application/json" } });
      if (answer.ok) learn(await answer.json());
      else if (answer.status === 401) until = 0;
      return answer.ok;
    } catch {
      return false; // go by what is known
    }
  };
  const say = (kind, text, ...more) => {
    if (shown === kind + text) return;
    shown = kind + text;
    strip.replaceChildren(text, ...more);
  };
  const tell = () => {
    const left = until - Date.now();
    const text = (words) => words.replace("{time}", clock(new Date(until)));
    if (left <= 0) say("over", said.sayOver, anew("/login"));
    else if (left > early) say("", "");
    else if (most - until < 1500) say("last", text(said.sayLast), anew("/login?again=1"));
    else say("soon", text(said.saySoon), stay());
  };
  const stay = () => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = said.sayStay;
    button.addEventListener("click", async () => {
      const ok = await ask("POST");
      if (strip.contains(document.activeElement)) back?.focus();
      if (ok && until - Date.now() > early) {
        say("stayed", said.sayStayed.replace("{time}", clock(new Date(until))));
        setTimeout(tell, 6000);
      } else if (!ok && until > 0) say("offline", said.sayOffline, stay());
      else tell();
      if (until > Date.now()) wait();
    });
    return button;
  };
  const anew = (path) => {
    const a = document.createElement("a");
    [a.href, a.target, a.rel, a.textContent] = [path, "_blank", "noopener", said.sayAnew];
    return a;
  };
  strip.addEventListener("focusin", (e) => (back = strip.contains(e.relatedTarget) ? back : (e.relatedTarget ?? back)));
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(look, 300, true); // a page that is shown again by Back loads anew meanwhile
  });
  learn({ left: Number(said.seconds), most: Number(said.most) });
  look();
}

const lasts = document.querySelector("select[data-say-until]");
if (lasts) offerTimes();

// offerTimes says of each duration when it would be over, and offers the end
// of a working day where the role lasts that long.
function offerTimes() {
  const evening = 18;
  const offered = [...lasts.options].map((option) => ({ option, words: option.text, seconds: Number(option.value) }));
  const most = Math.max(...offered.map((o) => o.seconds));
  const end = new Option();
  const write = (option, text) => {
    if (option.text !== text) option.text = text;
  };
  const tell = () => {
    const now = Date.now();
    const words = lasts.dataset;
    for (const { option, words: duration, seconds } of offered) {
      write(option, words.sayLasts.replace("{duration}", duration).replace("{time}", clock(new Date(now + seconds * 1000))));
    }
    const at = new Date(now).setHours(evening, 0, 0, 0);
    const left = Math.floor((at - now) / 1000);
    if (left < 900 || left > most) {
      end.remove();
      return;
    }
    end.value = left;
    write(end, words.sayUntil.replace("{time}", clock(new Date(at))));
    if (!end.isConnected) lasts.add(end);
  };
  tell();
  setInterval(tell, 15e3);
}

const regions = document.querySelector("[data-regions]");
if (regions) {
  const field = document.querySelector("#region");
  regions.hidden = false;
  regions.addEventListener("change", () => {
    field.value = regions.value;
    regions.selectedIndex = 0;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  });
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
