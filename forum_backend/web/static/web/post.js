// A post's row, from the template element of the page and the post as an event brings it.

const MAX_SHOWN_DEPTH = 6;
const COLOURS = 8;

function crc32(text) {
  let crc = -1;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ -1) >>> 0;
}

function initials(name) {
  const words = name.replace(/[_.-]/gu, " ").split(/\s+/u).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const chosen = words.length > 1 ? [words[0], words.at(-1)] : words;
  return chosen.map((word) => [...word][0]).join("") || "?";
}

function fillByline(row, author) {
  const name = author?.display_name || author?.username || "anonymous";
  const avatar = row.querySelector(".avatar");
  avatar.className = `avatar h${crc32(author?.username ?? name) % COLOURS}`;
  avatar.textContent = initials(name);
  const link = row.querySelector("a.name");
  link.textContent = name;
  if (author?.username) link.href = `/u/${encodeURIComponent(author.username)}/`;
  else link.removeAttribute("href");
}

/** A new row for a post, with the links that this reader may use. `page` is the data of the list it goes into. */
export function fillPost(post, page) {
  const row = document.getElementById("post-template").content.firstElementChild.cloneNode(true);
  const depth = post.depth ?? 0;
  row.dataset.post = post.id;
  row.dataset.depth = depth;
  row.className = `post d${page.order === "nested" ? Math.min(depth, MAX_SHOWN_DEPTH) : 0}`;
  row.querySelector("article").id = `p-${post.id}`;
  fillByline(row, post.author);
  const time = row.querySelector("time");
  time.dateTime = post.created_at;
  time.title = new Date(post.created_at).toUTCString();
  time.textContent = "just now";
  row.querySelector("a.when").href = `/p/${post.id}/`;
  // Sanitised by the server when it was written; the page's policy runs no inline script either.
  row.querySelector(".prose").innerHTML = post.html;
  row.querySelector("[data-edited]").hidden = !post.edited_at;
  row.querySelector("[data-points]").textContent = post.points;
  fillActions(row, post, page);
  return row;
}

function fillActions(row, post, page) {
  const isOwn = Boolean(page.reader) && post.author?.username === page.reader;
  row.querySelector("[data-vote]")?.setAttribute("action", `/p/${post.id}/vote`);
  const reply = row.querySelector("[data-reply]");
  if (reply) reply.href = `/p/${post.id}/`;
  setLink(row.querySelector("[data-own]"), isOwn, `/p/${post.id}/edit`);
  setLink(row.querySelector("[data-delete]"), isOwn || Boolean(page.moderator), `/p/${post.id}/delete`);
}

function setLink(link, isAllowed, href) {
  if (!link) return;
  if (isAllowed) link.href = href;
  else link.remove();
}

/** Show what this reader voted: 1, -1 or 0. Pressing the same button again takes the vote back. */
export function markVote(form, { points, value }) {
  form.querySelector("[data-points]").textContent = points;
  for (const button of form.querySelectorAll("[data-direction]")) {
    const direction = Number(button.dataset.direction);
    button.setAttribute("aria-pressed", String(direction === value));
    button.value = direction === value ? 0 : direction;
  }
}
