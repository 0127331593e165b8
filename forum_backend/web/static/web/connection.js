// A websocket that goes on where it stopped: it remembers the last number and comes back with it.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const TOO_SLOW = 4008;
const NEVER_AGAIN = new Set([4000, 4001, 4004, 4401]); // bad id, no such forum, not signed in

/**
 * Follow a stream of numbered events. `onEvent(event)` gets each number once, in order; `onSnapshot(frame)` a new
 * beginning; `onState(state)` is "live", "waiting" or "off".
 */
export function follow({ path, after, onEvent, onSnapshot, onState }) {
  let isOver = false;
  let error = null;
  let last = after;
  let pause = FIRST_PAUSE_MS;
  let socket = null;
  let timer = 0;

  function connect() {
    clearTimeout(timer);
    error = null;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${path}?after=${last}`);
    socket.addEventListener("open", () => onState("live"));
    socket.addEventListener("message", (message) => receive(JSON.parse(message.data)));
    socket.addEventListener("close", (closed) => {
      socket = null;
      if (NEVER_AGAIN.has(closed.code) || error === "forbidden") {
        isOver = true;
        onState("off");
        return;
      }
      onState("waiting");
      timer = setTimeout(connect, closed.code === TOO_SLOW ? 0 : pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    });
  }

  function receive(frame) {
    if (frame.type === "error") {
      error = frame.code; // 4003 is for "not now" and for "not for you": only this tells them apart
      return;
    }
    pause = FIRST_PAUSE_MS;
    if (frame.type === "snapshot") {
      last = frame.number;
      onSnapshot(frame);
    } else if (Number.isInteger(frame.number) && frame.number > last) {
      last = frame.number;
      onEvent(frame);
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && socket === null && !isOver) connect();
  });
  connect();
}

const WORDS = { live: "live", waiting: "reconnecting …", off: "not live" };

/** Show the state of the connection in the element that the page has for it. */
export function showState(state) {
  const mark = document.querySelector("[data-live]");
  if (!mark) return;
  mark.hidden = false;
  mark.dataset.state = state;
  mark.textContent = WORDS[state];
}
