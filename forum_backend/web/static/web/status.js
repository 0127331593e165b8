// The fleet as it changes: loads of shards, moves and how far they are, and what came of them.

import { follow, showState } from "./connection.js";
import { placeForum, showFleet, showShard } from "./status/fleet.js";
import { takeForms } from "./status/forms.js";
import { countWindow, showHistory, showPast } from "./status/history.js";
import { live, rules } from "./status/live.js";
import { showButtonsAnew, showMove, showMoves } from "./status/moves.js";

const page = document.querySelector("[data-status]");
const SETTLING = new Set(["move.departed", "move.aborted"]);

function onMove(move, { type, at }) {
  const isOver = rules.over.includes(move.state);
  showMove(move, { isOver });
  if (!isOver) return;
  const isNews = SETTLING.has(type);
  showPast(isNews ? { ...move, settled_at: at } : move);
  if (!isNews) return;
  if (type === "move.departed") {
    placeForum(move);
    countWindow(move.window_ms);
  }
  const end = type === "move.departed" ? `lives on ${move.target} now` : "was not moved";
  page.querySelector("[data-news]").textContent = `${move.slug} ${end}.`;
}

function onEvent(event) {
  if (event.type.startsWith("shard.")) {
    showShard(event.data, { isRemoved: event.type === "shard.removed" });
    showButtonsAnew();
  } else if (event.type.startsWith("move.")) onMove(event.data, event);
}

function onSnapshot({ data }) {
  showFleet(data.shards);
  showMoves(data.moves.running);
  showHistory(data.moves.finished, data.windows);
}

onSnapshot({ data: live });
takeForms(page);
follow({ path: "/ws/status", after: Number(page.dataset.number), onEvent, onSnapshot, onState: showState });
