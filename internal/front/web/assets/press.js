// A pressed button shows that it works until the answer comes, and a form is sent once. The button stays focusable.
"use strict";
(() => {
  const patience = 30_000; // milliseconds until a form can be sent again, if the answer was stopped
  const reset = (form) => {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    if ("file" in form.dataset) return; // the answer is a file, and the page stays
    form.dataset.sent = "yes";
    setTimeout(reset, patience, form);
    event.submitter?.setAttribute("aria-busy", "true");
  }, true);
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt instanceof HTMLFormElement) reset(event.detail.elt);
  });
  addEventListener("pageshow", () => { // the page may come from the cache of the browser
    for (const form of document.querySelectorAll("form[data-sent]")) reset(form);
  });
})();
