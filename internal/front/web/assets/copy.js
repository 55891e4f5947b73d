// Copies a text to the clipboard. Without this script, or without access to the clipboard, its buttons stay hidden, and
// one click selects the text.
"use strict";
(() => {
  if (!navigator.clipboard) return;
  document.documentElement.classList.add("clipboard");
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (!button || button.dataset.text) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.dataset.text = button.textContent.trim();
    button.textContent = button.dataset.copied;
    setTimeout(() => {
      button.textContent = button.dataset.text;
      delete button.dataset.text;
    }, 2000);
  });
})();
