// The reply form opens below a post without a new page, each time with a key of its own.

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function openForm(row, template) {
  const present = row.querySelector("form.reply");
  if (present) {
    present.querySelector("textarea").focus();
    return;
  }
  const id = row.dataset.post;
  const form = template.content.firstElementChild.cloneNode(true);
  form.id = `reply-${id}`;
  form.elements.parent.value = id;
  form.elements.key.value = newKey();
  form.elements.body.id = `body-${id}`;
  form.querySelector("label").htmlFor = `body-${id}`;
  row.append(form);
  form.elements.body.focus();
}

export function enableReplies(list) {
  const template = document.getElementById("reply-template");
  if (!template) return;
  list.addEventListener("click", (event) => {
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    const link = event.target.closest("[data-reply], [data-cancel]");
    if (!link || !isPlain) return;
    event.preventDefault();
    const row = link.closest("[data-post]");
    if (link.matches("[data-reply]")) openForm(row, template);
    else link.closest("form").remove();
  });
}
