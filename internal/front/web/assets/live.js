// Keeps the live parts of a page if a refresh fails, with the time since which they are not up to date, and keeps the
// focus and the checked boxes if it succeeds.
"use strict";
(() => {
  const retryAfter = 10_000; // milliseconds
  const stale = new Map(); // timers of the parts that are not up to date, by ID
  const partOf = (event) => {
    const part = event.detail.requestConfig?.elt;
    return part instanceof Element && part.hasAttribute("data-live") ? part : undefined;
  };
  const notice = (part, text, ended) => {
    const line = part.closest("[sse-connect]")?.querySelector(".stale");
    if (!line) return;
    line.querySelector("span").textContent = text;
    line.querySelector("a").hidden = !ended;
    line.hidden = !text;
  };
  const failed = (part, status) => {
    const { dataset } = part.closest("[sse-connect]").querySelector(".stale");
    const ended = status === 401;
    notice(part, (ended ? dataset.ended : dataset.retrying).replace("{time}", part.dataset.live), ended);
    clearTimeout(stale.get(part.id));
    stale.set(part.id, ended ? 0 : setTimeout(() => {
      const now = document.getElementById(part.id);
      if (now) htmx.trigger(now, "retry");
    }, retryAfter));
  };
  const focusable = "a, button, summary, input, select, textarea, [tabindex]";
  const label = (e) => [e.tagName, e.getAttribute("href"), e.getAttribute("name"), e.textContent.trim()].join(" ");
  let kept; // focus and boxes of the part that is being replaced
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = partOf(event);
    if (!part) return;
    const { xhr } = event.detail;
    if (xhr.status !== 200 || !xhr.responseText.includes(`<div id="${part.id}"`)) {
      event.detail.shouldSwap = false;
      failed(part, xhr.status);
      return;
    }
    clearTimeout(stale.get(part.id));
    stale.delete(part.id);
    if (stale.size === 0) notice(part, "", false);
    const active = part.contains(document.activeElement) ? document.activeElement : undefined;
    kept = {
      id: part.id,
      at: active && [...part.querySelectorAll(focusable)].indexOf(active),
      label: active && label(active),
      boxes: [...part.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.name),
    };
  });
  document.addEventListener("htmx:afterSwap", () => {
    const part = kept && document.getElementById(kept.id);
    if (!part) return;
    for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked ||= kept.boxes.includes(box.name);
    if (kept.label !== undefined) {
      const all = [...part.querySelectorAll(focusable)];
      (all.find((e) => label(e) === kept.label) ?? all[kept.at])?.focus({ preventScroll: true });
    }
    kept = undefined;
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      const part = partOf(event);
      if (part) failed(part, 0);
    });
  }
})();
