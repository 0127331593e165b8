// A forum's page that says what is new, without moving anything under the reader's eyes.

import { follow, showState } from "./connection.js";

const box = document.querySelector("[data-forum]");
const more = document.querySelector("[data-more]");
const fresh = new Map();
let newThreads = 0;

function noteThreads() {
  more.textContent = newThreads === 1 ? "1 new thread" : `${newThreads} new threads`;
  more.hidden = false;
}

function notePost(thread) {
  const row = box.querySelector(`[data-thread="${CSS.escape(thread)}"]`);
  if (!row) return;
  fresh.set(thread, (fresh.get(thread) ?? 0) + 1);
  const mark = row.querySelector("[data-news]");
  mark.textContent = `${fresh.get(thread)} new`;
  mark.hidden = false;
}

function onEvent({ type, data }) {
  if (type === "thread.created") {
    newThreads += 1;
    noteThreads();
  } else if (type === "post.created" && data.thread) {
    notePost(data.thread);
  } else if (type === "forum.imported") {
    more.textContent = "Threads were imported: load the page anew";
    more.hidden = false;
  }
}

follow({
  path: `/ws/forums/${box.dataset.forum}`,
  after: Number(box.dataset.number),
  onEvent,
  onSnapshot: () => {
    more.textContent = "There is news: load the page anew";
    more.hidden = false;
  },
  onState: showState,
});
