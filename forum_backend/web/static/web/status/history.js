// Moves that are over: the last twenty in a table, the windows of the last two hundred in a histogram.

import { cloned, counted, ms, named, share, took, write } from "./figures.js";
import { rules } from "./live.js";
import { troubleOf, verdictOf } from "./move_words.js";
import { fillHead } from "./moves.js";

const ROWS = 20;
const table = document.querySelector("[data-history]");
const histogram = document.querySelector("[data-windows]");
let windows = []; // newest first

/** The row of a move that was settled at this moment: the latest stand first, whenever they were asked for. */
function rowOf(move, settled) {
  const present = named("past", move.id);
  if (present) return present;
  const isLater = (row) => {
    const lead = Number(row.dataset.settled) - settled;
    return lead > 0 || (lead === 0 && Number(row.dataset.past) > Number(move.id));
  };
  const following = [...table.children].find((row) => !isLater(row)) ?? null;
  if (!following && table.children.length >= ROWS) return null; // before all that is shown
  const row = cloned("past-template");
  row.dataset.past = move.id;
  row.id = `past-${move.id}`;
  table.insertBefore(row, following);
  return row;
}

/** News of a move that is over. */
export function showPast(move) {
  const settled = Date.parse(move.settled_at) || 0;
  const row = rowOf(move, settled);
  if (!row) return;
  row.dataset.settled = settled || row.dataset.settled || 0;
  fillHead(row, move);
  if (move.settled_at) write(row.querySelector("[data-took]"), took(move.created_at, move.settled_at));
  write(row.querySelector("[data-rows]"), counted(move.rows_total));
  write(row.querySelector("[data-window]"), ms(move.window_ms));
  write(row.querySelector("[data-verdict]"), verdictOf(move));
  write(row.querySelector("[data-trouble]"), troubleOf(move));
  while (table.children.length > ROWS) table.lastElementChild.remove();
  document.querySelector("[data-no-history]").hidden = true;
}

/** The smallest window that this share of all windows does not exceed. */
function quantile(part) {
  const ordered = [...windows].sort((one, other) => one - other);
  return ordered[Math.max(0, Math.ceil(part * ordered.length) - 1)] ?? null;
}

function showWindows() {
  const counts = new Array(rules.edges_ms.length + 1).fill(0);
  for (const window of windows) counts[rules.edges_ms.filter((edge) => window > edge).length] += 1;
  const highest = Math.max(...counts);
  histogram.querySelectorAll("li").forEach((bar, number) => {
    const part = share(counts[number], highest);
    write(bar.querySelector("[data-count]"), counted(counts[number]));
    bar.querySelector("rect").setAttribute("y", Math.round(1000 - 10 * part) / 10);
    bar.querySelector("rect").setAttribute("height", part);
  });
  write(histogram.querySelector("[data-p50]"), ms(quantile(0.5)));
  write(histogram.querySelector("[data-p99]"), ms(quantile(0.99)));
  write(histogram.querySelector("[data-max]"), ms(windows.length ? Math.max(...windows) : null));
  write(histogram.querySelector("[data-moves-counted]"), counted(windows.length));
}

/** A move has switched. */
export function countWindow(window) {
  if (window === null) return;
  windows = [window, ...windows].slice(0, rules.windows);
  showWindows();
}

/** The history as it is. */
export function showHistory(moves, allWindows) {
  for (const move of [...moves].reverse()) showPast(move);
  windows = allWindows;
  showWindows();
}
