// What a move's data says in words, and what may be asked of it: as the page says it (status_words.py, status_moves.py).

import { counted, words } from "./figures.js";
import { takesForums } from "./fleet.js";
import { rules } from "./live.js";

const UNCOPIED = new Set(["planned", "prepared", "armed", "copying"]);

/** The state in a word, and the tone of its colour. */
export function markOf(move) {
  if (move.state === "aborted") return ["given up", "bad"];
  if (rules.over.includes(move.state)) return [move.rolls_back ? "rolled back" : "moved", "good"];
  if (move.is_cancelled) return ["being cancelled", "warn"];
  if (move.pause_at === move.state) return ["paused", "warn"];
  return [words(move.state), move.state === "planned" ? "" : "accent"];
}

export function phaseOf(move) {
  if (move.state !== "copying") return rules.phases[move.state];
  const part = move.rows_total ? Math.min(move.rows_done / move.rows_total, 1) : 0;
  return `copying, ${Math.floor(part * 100)} %`;
}

export function attentionOf(move) {
  if (rules.over.includes(move.state)) return "";
  if (move.pause_at) {
    const where = move.pause_at === move.state ? "here" : `once it is ${words(move.pause_at)}`;
    return `Waits ${where} until it is resumed.`;
  }
  if (move.waits_for) return `Waits for ${move.waits_for}.`;
  return move.throttled_by ? `Slowed down: ${move.throttled_by}.` : "";
}

export function troubleOf(move) {
  if (!move.error || !move.attempts) return move.error;
  const number = move.attempts === 1 ? "1 attempt" : `${move.attempts} attempts`;
  return `${number} failed; the last one: ${move.error}`;
}

export function verdictOf({ verdict }) {
  if (!verdict?.content) return "–";
  const again = verdict.repaired_rows ? `, ${counted(verdict.repaired_rows)} copied again` : "";
  return `${counted(verdict.rows)} rows, ${verdict.content}${again}`;
}

/** How far the bar is: full once all is copied, also where a rollback had nothing to copy. */
export const rowsShown = (move) => (UNCOPIED.has(move.state) ? move.rows_done : move.rows_total || 1);

/** Where the move is on its way; -1 if nowhere. */
export const stepOf = ({ state }) => rules.steps.indexOf(state === "cleaned" ? "reversible" : state);

/** What may be asked of the move as it is now. */
export function allowed(move) {
  if (rules.pausable.includes(move.state) && !move.is_cancelled) {
    const can = {
      pause: move.pause_at !== move.state,
      resume: Boolean(move.pause_at || move.error),
      hold: move.pause_at !== "ready" && rules.before_ready.includes(move.state),
      cancel: true,
    };
    return Object.keys(can).filter((action) => can[action]);
  }
  const isOpen = move.state === "reversible" && Date.parse(move.reversible_until) > Date.now();
  return isOpen && takesForums(move.source) ? ["rollback"] : [];
}
