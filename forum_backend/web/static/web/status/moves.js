// Moves under way: a card each, in which only the figures change; it stays a moment after the end.

import { cloned, counted, ms, named, write, writeAll, writeOrHide } from "./figures.js";
import { allowed, attentionOf, markOf, phaseOf, rowsShown, stepOf, troubleOf } from "./move_words.js";
import { timeLeft } from "./pace.js";

const LINGER_MS = 6000;
const list = document.querySelector("[data-moves]");
const empty = document.querySelector("[data-no-moves]");
const shownOf = new WeakMap(); // the move that a form was last shown for

/** What a card and a row of the history have in common. */
export function fillHead(element, move) {
  writeAll(element, "[data-slug]", move.slug);
  element.querySelector("a[data-slug]").href = `/f/${encodeURIComponent(move.slug)}/`;
  write(element.querySelector("[data-source]"), move.source);
  write(element.querySelector("[data-target]"), move.target);
  const mark = element.querySelector("[data-mark]");
  const [word, tone] = markOf(move);
  write(mark, word);
  mark.className = `mark ${tone}`;
  showButtons(element.querySelector("[data-ask]"), move);
}

/** Only what may be asked now; the focus goes on to the next button rather than nowhere. */
function showButtons(form, move) {
  shownOf.set(form, move);
  form.setAttribute("action", `/status/moves/${move.id}`);
  const shown = allowed(move);
  const focused = document.activeElement;
  for (const button of form.querySelectorAll("button")) button.hidden = !shown.includes(button.value);
  if (form.contains(focused) && focused.hidden) form.querySelector("button:not([hidden])")?.focus();
}

/** What may be asked also depends on the shards. */
export function showButtonsAnew() {
  for (const form of document.querySelectorAll("form[data-ask]")) {
    if (shownOf.has(form)) showButtons(form, shownOf.get(form));
  }
}

function cardOf(move) {
  const present = named("move", move.id);
  if (present) return present;
  const card = cloned("move-template");
  card.dataset.move = move.id;
  card.id = `move-${move.id}`;
  const later = [...list.children].find((other) => Number(other.dataset.move) > Number(move.id));
  list.insertBefore(card, later ?? null);
  return card;
}

function fill(card, move) {
  fillHead(card, move);
  const at = stepOf(move);
  card.querySelectorAll("[data-step]").forEach((step, number) => {
    step.toggleAttribute("data-done", number < at);
    if (number === at) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
  const progress = card.querySelector("[data-progress]");
  progress.max = move.rows_total || 1;
  progress.value = rowsShown(move);
  progress.setAttribute("aria-label", `Rows of ${move.slug} copied`);
  write(card.querySelector("[data-phase]"), phaseOf(move) + timeLeft(move));
  write(card.querySelector("[data-rows]"), `${counted(move.rows_done)} of ${counted(move.rows_total)}`);
  write(card.querySelector("[data-speed]"), move.rows_per_s === null ? "–" : `${counted(move.rows_per_s)} rows/s`);
  write(card.querySelector("[data-lag]"), `${counted(move.lag)} change${move.lag === 1 ? "" : "s"}`);
  write(card.querySelector("[data-predicted]"), ms(move.predicted_window_ms));
  write(card.querySelector("[data-window]"), ms(move.window_ms));
  write(card.querySelector("[data-attention]"), attentionOf(move));
  writeOrHide(card.querySelector("[data-trouble]"), troubleOf(move));
  writeOrHide(card.querySelector("[data-reason]"), move.reason);
}

/** Take a card away after a moment, but never from under somebody's focus. */
function retire(card) {
  if (card.classList.contains("is-over")) return;
  card.classList.add("is-over");
  setTimeout(() => {
    if (card.contains(document.activeElement)) card.addEventListener("focusout", () => remove(card), { once: true });
    else remove(card);
  }, LINGER_MS);
}

function remove(card) {
  card.remove();
  empty.hidden = list.children.length > 0;
}

/** News of a move. One that is over is in the history; its card stays a moment if there is one. */
export function showMove(move, { isOver }) {
  const card = isOver ? named("move", move.id) : cardOf(move);
  if (!card) return;
  fill(card, move);
  if (isOver) retire(card);
  empty.hidden = true;
}

/** All moves under way. */
export function showMoves(moves) {
  const ids = new Set(moves.map((move) => move.id));
  for (const card of [...list.children]) if (!ids.has(card.dataset.move)) remove(card);
  for (const move of moves) showMove(move, { isOver: false });
}
