// Copies what the help desk needs.

const copy = document.querySelector("[data-copy-desk]");
const button = copy?.querySelector("button");
if (button && navigator.clipboard) {
  copy.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector("[data-desk]").textContent);
    button.textContent = button.dataset.sayCopied;
  });
}
