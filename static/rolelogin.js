// Narrows the list of roles as one types. What is chosen stays chosen, and in
// sight. Its words are the page's (data-say-…).

const filter = document.querySelector("[data-filter]");
if (filter) {
  const field = filter.querySelector("input");
  const found = document.querySelector("[data-found]");
  const choices = [...document.querySelectorAll(".choices li")].map((row) => {
    const radio = row.querySelector("input");
    return { row, radio, text: `${radio.value} ${row.textContent}`.toLowerCase() };
  });
  filter.hidden = false;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const c of choices) {
      const match = words.every((w) => c.text.includes(w));
      n += match ? 1 : 0;
      c.row.hidden = !match && !c.radio.checked;
    }
    const { sayNone, sayOne, sayMany } = filter.dataset;
    const text = words.length === 0 ? "" : (n === 0 ? sayNone : n === 1 ? sayOne : sayMany).replace("{n}", n);
    if (found.textContent !== text) found.textContent = text;
  });
  field.addEventListener("keydown", (e) => {
    // Enter leads to what was found; it agrees to nothing.
    if (e.key !== "Enter") return;
    e.preventDefault();
    choices.find((c) => !c.row.hidden)?.radio.focus();
  });
}
