// How long the rest of a copy will take, judged by what was copied lately: rests and other moves are in it.

const SPAN_MS = 30_000;
const LEAST_MS = 2_000;
const seen = new Map(); // by move: moments and how many rows there were then

/** In words; nothing while there is too little to judge by. */
export function timeLeft(move) {
  if (move.state !== "copying" || move.pause_at === "copying") {
    seen.delete(move.id);
    return "";
  }
  const now = performance.now();
  const moments = (seen.get(move.id) ?? []).filter(({ at, rows }) => now - at < SPAN_MS && rows <= move.rows_done);
  moments.push({ at: now, rows: move.rows_done });
  seen.set(move.id, moments);
  const elapsed = now - moments[0].at;
  const copied = move.rows_done - moments[0].rows;
  if (elapsed < LEAST_MS || copied === 0) return "";
  const left = Math.max(0, ((move.rows_total - move.rows_done) * elapsed) / copied / 1000);
  return left < 90 ? `, about ${Math.ceil(left)} s left` : `, about ${Math.round(left / 60)} min left`;
}
