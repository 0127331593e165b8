// The fleet as bars: each load of each shard against the fullest shard.

import { cloned, figure, named, share, write, writeAll } from "./figures.js";

const list = document.querySelector("[data-shards]");
const loads = new Map(); // what is known of each shard; news of a state does not repeat its rates

function cardOf(name) {
  const present = named("shard", name);
  if (present) return present;
  const card = cloned("shard-template");
  card.dataset.shard = name;
  writeAll(card, "[data-name]", name);
  const following = [...list.children].find((other) => other.dataset.shard > name);
  list.insertBefore(card, following ?? null);
  return card;
}

function drop(name) {
  named("shard", name)?.remove();
  loads.delete(name);
}

function showBars() {
  for (const [name, shard] of loads) {
    for (const load of named("shard", name).querySelectorAll("[data-load]")) {
      const key = load.dataset.load;
      const largest = Math.max(...Array.from(loads.values(), (other) => other[key] ?? 0));
      write(load.querySelector("[data-value]"), figure(key, shard[key] ?? 0));
      load.querySelector("rect").setAttribute("width", share(shard[key] ?? 0, largest));
    }
  }
}

function showTargets() {
  const select = document.querySelector("[data-targets]");
  const names = [...loads.keys()].sort();
  if (!select || Array.from(select.options, (option) => option.value).join() === names.join()) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
}

function take(shard) {
  const known = { ...loads.get(shard.name), ...shard };
  loads.set(shard.name, known);
  const card = cardOf(shard.name);
  card.classList.toggle("is-down", Boolean(known.is_down));
  const mark = card.querySelector("[data-state]");
  write(mark, known.is_down ? "not answering" : known.state);
  mark.className = `mark ${known.is_down ? "bad" : known.state === "active" ? "good" : "warn"}`;
}

function finish() {
  document.querySelector("[data-no-shards]").hidden = loads.size > 0;
  showBars();
  showTargets();
}

/** News of one shard. */
export function showShard(shard, { isRemoved }) {
  if (!shard.name) return;
  if (isRemoved) drop(shard.name);
  else take(shard);
  finish();
}

/** All shards there are. */
export function showFleet(shards) {
  const names = new Set(shards.map((shard) => shard.name));
  for (const card of [...list.children]) if (!names.has(card.dataset.shard)) drop(card.dataset.shard);
  shards.forEach(take);
  finish();
}

/** Whether forums may come to this shard, as far as is known. */
export const takesForums = (name) => loads.get(name)?.state === "active";

/** A forum lives somewhere else now. */
export function placeForum(move) {
  const forum = named("forum", move.forum);
  const there = named("shard", move.target)?.querySelector("[data-forums]");
  if (forum && there) there.append(forum);
}
