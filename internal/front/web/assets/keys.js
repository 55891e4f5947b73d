// Keyboard shortcuts and the palette, as an extra: each does what a link, a field or a box of the page does too. Single
// keys are ignored in fields and can be turned off (WCAG 2.2, 2.1.4). The setting is kept in the browser.
"use strict";
(() => {
  const help = document.getElementById("keys"), palette = document.getElementById("palette");
  if (!help || !palette) return;
  const off = "perennial-single-keys-off", box = help.querySelector("input[type=checkbox]");
  try { box.checked = localStorage.getItem(off) !== "yes"; } catch { /* the browser keeps nothing */ }
  box.addEventListener("change", () => {
    try { box.checked ? localStorage.removeItem(off) : localStorage.setItem(off, "yes"); } catch { /* as above */ }
  });

  const linkOf = (row) => row.querySelector("th a[href]") ?? row.querySelector("a[href]");
  const current = () => document.activeElement?.closest("main tbody tr");
  const move = (step) => {
    const rows = [...document.querySelectorAll("main tbody tr")].filter((row) => linkOf(row) && row.checkVisibility());
    const at = rows.indexOf(current());
    const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step];
    if (next) linkOf(next).focus();
  };
  const find = () => {
    const field = document.querySelector(".search input");
    if (field.checkVisibility()) field.focus();
    else open(palette);
  };
  const open = (dialog) => {
    if (dialog.open) return;
    dialog.showModal();
    if (dialog !== palette) return;
    input.select();
    search();
  };
  const single = {
    j: () => move(1),
    k: () => move(-1),
    o: () => current() && linkOf(current())?.click(),
    x: () => current()?.querySelector("input[type=checkbox]")?.click(),
    "/": find,
    "?": () => open(help),
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      help.close();
      open(palette);
      return;
    }
    const field = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (!box.checked || field || event.ctrlKey || event.metaKey || event.altKey || help.open || palette.open) return;
    const act = Object.hasOwn(single, event.key) && single[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  for (const button of document.querySelectorAll("[data-opens]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const menu = document.querySelector(".side:popover-open");
      if (menu) menu.hidePopover(); // it would cover the dialog's page
      open(document.getElementById(button.dataset.opens));
    });
  }
  for (const button of document.querySelectorAll("dialog [data-closes]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }

  const input = palette.querySelector("input"), list = palette.querySelector("[role=listbox]");
  const count = palette.querySelector("[role=status]");
  const pages = [...document.querySelectorAll(".side nav a[href]")].map((a) => ({
    text: (a.querySelector("span") ?? a).textContent.trim(), href: a.href,
    detail: a.closest("ul").previousElementSibling?.textContent ?? "",
  }));
  let chosen = 0, asked;
  const options = () => [...list.children];
  const choose = (at) => {
    const all = options();
    chosen = all.length ? (at + all.length) % all.length : 0;
    all.forEach((o, i) => o.setAttribute("aria-selected", String(i === chosen)));
    if (all.length) input.setAttribute("aria-activedescendant", all[chosen].id);
    else input.removeAttribute("aria-activedescendant");
    all[chosen]?.scrollIntoView({ block: "nearest" });
  };
  const show = (items) => {
    list.replaceChildren(...items.map((item, i) => {
      const option = document.createElement("li"), detail = document.createElement("span");
      option.id = `palette-${i}`;
      option.role = "option";
      option.dataset.href = item.href;
      detail.className = "quiet small";
      detail.textContent = item.detail;
      option.append(item.text, " ", detail);
      return option;
    }));
    count.textContent = count.dataset.count.replace("{n}", items.length);
    choose(0);
  };
  const found = async (text, signal) => {
    const answer = await fetch(`/find?list=yes&q=${encodeURIComponent(text)}`, { signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return [...page.querySelectorAll("main tbody tr")].map((row) => ({
      text: row.querySelector("th a").textContent, href: row.querySelector("th a").getAttribute("href"),
      detail: [...row.querySelectorAll("td")].map((cell) => cell.textContent.trim()).filter(Boolean).join(" · "),
    }));
  };
  const search = () => {
    asked?.abort();
    const text = input.value.trim(), own = asked = new AbortController();
    const fits = pages.filter((page) => page.text.toLowerCase().includes(text.toLowerCase()));
    show(fits);
    if (text.length < 2) return;
    setTimeout(async () => {
      if (own.signal.aborted) return;
      try {
        const results = await found(text, own.signal);
        if (!own.signal.aborted) show([...fits, ...results]);
      } catch { /* the pages stay; the form of the menu finds without script */ }
    }, 150); // milliseconds without another letter
  };
  const go = (option) => { if (option) location.href = option.dataset.href; };
  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) choose(chosen + step);
    else if (event.key === "Enter" && !event.isComposing) go(options()[chosen]);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => go(event.target.closest("[role=option]")));
})();
