// Copies what is to be pasted elsewhere: for the help desk, or by who carries
// the answer to a program.

const copy = document.querySelector("[data-copy-desk]");
const button = copy?.querySelector("button");
if (button && navigator.clipboard) {
  copy.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector("[data-desk]").textContent);
    button.textContent = button.dataset.sayCopied;
    copy.querySelector("[data-heard]").replaceChildren(button.textContent);
  });
}
