// Counts what is ticked, and says when that is more than can be taken at once.
// Its words are the page's (data-say-…).

const form = document.querySelector("[data-several]");
const box = document.querySelector(".search input");
if (form) {
  const said = form.querySelector("[data-ticked]");
  const found = document.querySelector("[data-found]");
  const boxes = [...form.querySelectorAll("input[name=role]")];
  const most = Number(form.dataset.several);

  const tell = () => {
    const n = boxes.filter((b) => b.checked).length;
    const { sayTicked, sayTooMany } = form.dataset;
    said.textContent = n === 0 ? "" : (n > most ? sayTooMany : sayTicked).replace("{n}", n).replace("{more}", n - most);
  };
  form.addEventListener("input", tell);
  tell();

  // The search box narrows what is shown; what is ticked stays ticked, and stays.
  const rows = boxes.map((b) => {
    const row = b.closest(".row");
    return { tick: b.closest(".tick"), box: b, text: `${b.value} ${row.querySelector(".who").textContent}`.toLowerCase(), row };
  });
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const r of rows) {
      const match = words.every((w) => r.text.includes(w));
      n += match ? 1 : 0;
      r.tick.hidden = !r.box.checked && !match;
    }
    for (const row of form.querySelectorAll(".row")) row.hidden = !row.querySelector(".tick:not([hidden])");
    for (const group of form.querySelectorAll(".group")) group.hidden = !group.querySelector(".row:not([hidden])");
    const { sayOne, sayMany, sayNothing } = form.dataset;
    const text = words.length === 0 ? "" : (n === 0 ? sayNothing : n === 1 ? sayOne : sayMany).replace("{n}", n);
    if (found && found.textContent !== text) found.textContent = text;
  });
  box.form.addEventListener("submit", (e) => e.preventDefault());
}
