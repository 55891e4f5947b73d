// The two ceremonies of WebAuthn, which no form can do. Everything is asked of the server and told to it.
"use strict";
(() => {
  const post = async (path, body) => {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: body ? JSON.stringify(body) : "" });
    const text = await answer.text();
    if (!answer.ok) {
      throw new Error(new DOMParser().parseFromString(text, "text/html").querySelector("[role=alert]")?.textContent || answer.statusText);
    }
    return JSON.parse(text);
  };
  const ceremony = async (button) => {
    const { ceremony: kind, begin, finish } = button.dataset;
    const options = await post(begin);
    if (options.to) { // the user must sign in again
      location.assign(options.to);
      return;
    }
    const key = PublicKeyCredential;
    const credential = kind === "create"
      ? await navigator.credentials.create({ publicKey: key.parseCreationOptionsFromJSON(options) })
      : await navigator.credentials.get({ publicKey: key.parseRequestOptionsFromJSON(options) });
    const done = await post(finish + location.search, credential.toJSON());
    location.assign(done.to);
  };
  // The browser's own texts are technical, and in the language of the browser.
  const sentence = (button, error) => {
    if (!(error instanceof DOMException)) return error.message;
    const { cancelled, known, impossible } = button.dataset;
    return { NotAllowedError: cancelled, AbortError: cancelled, InvalidStateError: known }[error.name] ?? impossible;
  };
  for (const button of document.querySelectorAll("button[data-begin]")) {
    if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      if (button.ariaBusy === "true") return;
      button.ariaBusy = "true";
      const said = document.getElementById("passkey-said");
      said.hidden = true;
      ceremony(button).catch((error) => {
        button.removeAttribute("aria-busy");
        said.textContent = sentence(button, error);
        said.hidden = false;
      });
    });
  }
})();
