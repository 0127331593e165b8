// Forms that need no reload. Without scripts they are ordinary forms; what is refused is said beside them all the same.

import { writeOrHide } from "./figures.js";

const NOT_NOW = "The service did not answer as it should. Load the page anew, or try again in a moment.";

/** Send a form once: its buttons rest until the answer is there. */
async function send(form, button, accept) {
  if (form.dataset.isSent) return null;
  form.dataset.isSent = "yes";
  const body = new FormData(form);
  if (button?.name) body.append(button.name, button.value);
  form.setAttribute("aria-busy", "true");
  try {
    return await fetch(form.action, { method: "POST", body, headers: { Accept: accept }, credentials: "same-origin" });
  } finally {
    delete form.dataset.isSent;
    form.removeAttribute("aria-busy");
  }
}

/** Something asked of a move: what comes of it is pushed, only a refusal has to be shown. */
async function ask(form, button) {
  const answer = form.querySelector("[data-answer]");
  writeOrHide(answer, "");
  try {
    const response = await send(form, button, "application/json");
    if (response) writeOrHide(answer, (await response.json()).detail);
  } catch {
    writeOrHide(answer, NOT_NOW); // no connection, or a page: of the sign-in, of a proxy
  }
}

/** A part of the page that the server makes anew, as it escapes it everywhere else; nothing in it is run. */
async function swap(form, button) {
  const part = document.getElementById(form.dataset.swap);
  try {
    const response = await send(form, button, "text/html");
    if (!response) return;
    const made = new DOMParser().parseFromString(await response.text(), "text/html").getElementById(part.id);
    if (!made) throw new Error("the answer is another page");
    if (part.id === "plan" && response.redirected) history.replaceState(null, "", response.url);
    const hasFocus = part.contains(document.activeElement); // who went on meanwhile is not called back
    part.replaceWith(document.adoptNode(made));
    if (hasFocus) made.querySelector("h2").focus();
  } catch {
    complain(part);
  }
}

function complain(part) {
  const note = part.querySelector("[role=alert]") ?? part.insertBefore(document.createElement("p"), part.children[1]);
  note.className = "note bad";
  note.setAttribute("role", "alert");
  writeOrHide(note, NOT_NOW);
}

/** From here on the page's forms do without a reload. */
export function takeForms(page) {
  page.addEventListener("submit", (event) => {
    const form = event.target;
    if (!("ask" in form.dataset) && !form.dataset.swap) return;
    event.preventDefault();
    if (form.dataset.swap) swap(form, event.submitter);
    else ask(form, event.submitter);
  });
}
