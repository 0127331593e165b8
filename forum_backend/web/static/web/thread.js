// A thread that stays current: new posts come in at their place; edits, deletions and points follow.

import { follow, showState } from "./connection.js";
import { fillPost, markVote } from "./post.js";
import { enableReplies } from "./reply.js";
import { enableVotes } from "./votes.js";

const list = document.querySelector("ol.posts");
const { forum, thread, order } = list.dataset;
const isFirst = Boolean(list.dataset.first);
const isLast = Boolean(list.dataset.last);
const more = document.querySelector("[data-more]");
const count = document.querySelector("[data-count]");
let elsewhere = 0;

const row = (id) => list.querySelector(`[data-post="${CSS.escape(id)}"]`);

/** The row before which a new post belongs: null for the end, undefined when its place is not on this page. */
function placeOf(post) {
  if (order === "newest") return isFirst ? list.firstElementChild : undefined;
  if (order !== "nested" || post.parent === null) return isLast ? null : undefined;
  const parent = row(post.parent);
  if (!parent) return undefined;
  const depth = Number(parent.dataset.depth);
  let next = parent.nextElementSibling;
  while (next && Number(next.dataset.depth) > depth) next = next.nextElementSibling;
  return next === null && !isLast ? undefined : next;
}

function created(post) {
  if (row(post.id)) return;
  count.textContent = (Number(count.textContent.replaceAll(",", "")) + 1).toLocaleString("en");
  if (post.is_deleted || post.is_spam) return;
  const place = placeOf(post);
  if (place === undefined) {
    elsewhere += 1;
    more.href = `/p/${post.id}/`;
    more.textContent = elsewhere === 1 ? "1 new post on another page" : `${elsewhere} new posts on other pages`;
    more.hidden = false;
    return;
  }
  list.querySelector("[data-empty]")?.remove();
  const shown = fillPost(post, list.dataset);
  list.insertBefore(shown, place);
  const article = shown.querySelector("article");
  article.classList.add("is-fresh");
  setTimeout(() => article.classList.remove("is-fresh"), 4000);
}

function changed(post) {
  const present = row(post.id);
  if (!present || present.querySelector(".is-gone")) return;
  if (post.is_deleted || post.is_spam || post.html === undefined) {
    deleted(post);
    return;
  }
  // Sanitised by the server when it was written; the page's policy runs no inline script either.
  present.querySelector(".prose").innerHTML = post.html;
  present.querySelector("[data-edited]").hidden = post.edited_at === null;
}

function deleted(post) {
  const present = row(post.id);
  if (!present || present.querySelector(".is-gone")) return;
  const article = present.querySelector("article");
  const gone = document.createElement("p");
  gone.className = "gone";
  gone.textContent = post.is_spam ? "This post was taken for spam." : "This post was deleted.";
  article.classList.add("is-gone");
  article.replaceChildren(gone);
}

function voted(post) {
  const points = row(post.id)?.querySelector("[data-points]");
  if (points && post.points !== undefined) points.textContent = post.points;
}

const HANDLERS = { "post.created": created, "post.updated": changed, "post.deleted": deleted, "post.voted": voted };

function offerReload(words) {
  more.href = location.pathname + location.search;
  more.textContent = words;
  more.hidden = false;
}

function onEvent(event) {
  const { data } = event;
  if (data.thread === thread || (data.thread === undefined && row(data.id ?? ""))) HANDLERS[event.type]?.(data);
  if (event.type.startsWith("thread.") && data.id === thread) offerReload("This thread has changed: load it anew");
  if (event.type === "forum.imported") offerReload("Posts were imported: load the page anew");
}

enableVotes(list, markVote);
enableReplies(list);
follow({
  path: `/ws/forums/${forum}`,
  after: Number(list.dataset.number),
  onEvent,
  onSnapshot: () => offerReload("There is news: load the page anew"),
  onState: showState,
});
