// The fleet as it changes: loads of shards, states of moves, forums that change their shard.

import { follow, showState } from "./connection.js";

const page = document.querySelector("[data-status]");
const moves = page.querySelector("[data-moves]");
const SETTLED = new Set(["departed", "reversible", "cleaned"]);
const UNITS = ["bytes", "KB", "MB", "GB", "TB"];

const named = (kind, id) => page.querySelector(`[data-${kind}="${CSS.escape(String(id))}"]`);
const counted = (number) => Number(number).toLocaleString("en");

function size(bytes) {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(1)} ${UNITS[power]}`;
}

function showShard(shard) {
  const card = named("shard", shard.name);
  if (!card) return;
  for (const name of ["forums_count", "rows_count", "bytes"]) {
    card.querySelector(`[data-value="${name}"]`).textContent = name === "bytes" ? size(shard.bytes) : counted(shard[name]);
    const meters = page.querySelectorAll(`[data-load="${name}"]`);
    card.querySelector(`[data-load="${name}"]`).setAttribute("value", shard[name]);
    const largest = Math.max(1, ...Array.from(meters, (meter) => Number(meter.getAttribute("value"))));
    for (const meter of meters) meter.max = largest;
  }
  const mark = card.querySelector("[data-state]");
  mark.textContent = shard.is_down ? "no answer" : shard.state;
  mark.className = `mark ${shard.is_down ? "bad" : shard.state === "active" ? "good" : "warn"}`;
}

function moveRow(move) {
  const present = named("move", move.id);
  if (present) return present;
  moves.querySelector("[data-none]")?.remove();
  const row = document.getElementById("move-template").content.firstElementChild.cloneNode(true);
  const slug = named("forum", move.forum)?.querySelector("a")?.textContent ?? move.slug ?? `forum ${move.forum}`;
  row.dataset.move = move.id;
  row.querySelector("[data-id]").textContent = move.id;
  row.querySelector("[data-slug]").textContent = slug;
  row.querySelector("[data-slug]").href = `/f/${encodeURIComponent(slug.replace(/^forum /u, ""))}/`;
  row.querySelector("[data-source]").textContent = move.source;
  row.querySelector("[data-target]").textContent = move.target;
  moves.prepend(row);
  return row;
}

function showMove(move) {
  const row = moveRow(move);
  const mark = row.querySelector("[data-move-state]");
  mark.textContent = move.state;
  mark.className = `mark ${move.state === "aborted" ? "bad" : SETTLED.has(move.state) ? "good" : "warn"}`;
  row.querySelector("[data-rows]").textContent = `${counted(move.rows_done)} of ${counted(move.rows_total)}`;
  row.querySelector("[data-window]").textContent = move.window_ms === null ? "–" : `${Math.round(move.window_ms)} ms`;
  row.querySelector("[data-error]").textContent = move.error || move.throttled_by || "";
  if (move.state === "departed") {
    const forum = named("forum", move.forum);
    if (forum) named("shard", move.target)?.querySelector("[data-forums]").append(forum);
  }
}

function onEvent({ type, data }) {
  if (type.startsWith("move.")) showMove(data);
  else if (type.startsWith("shard.")) showShard(data);
}

follow({
  path: "/ws/status",
  after: Number(page.dataset.number),
  onEvent,
  onSnapshot: ({ data }) => {
    data.shards.forEach(showShard);
    [...data.moves.running, ...data.moves.finished].sort((one, other) => Number(one.id) - Number(other.id)).forEach(showMove);
  },
  onState: showState,
});
