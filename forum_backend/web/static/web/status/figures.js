// Figures as the page writes them, and writing them only where they changed.

const UNITS = ["bytes", "KB", "MB", "GB", "TB", "PB"];

export const counted = (number) => Math.round(Number(number)).toLocaleString("en");
export const words = (state) => state.replaceAll("_", " ");

function size(bytes) {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  if (power === 0) return `${bytes}\u00a0${bytes === 1 ? "byte" : "bytes"}`;
  return `${(bytes / 1024 ** power).toFixed(1)}\u00a0${UNITS[power]}`;
}

/** A load in the unit that people read it in. */
export function figure(name, value) {
  if (name === "bytes") return size(value);
  return name.endsWith("_s") ? value.toLocaleString("en", { maximumFractionDigits: 2 }) : counted(value);
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  return value < 10 ? `${value.toFixed(1)} ms` : `${counted(value)} ms`;
}

/** The time between two moments. */
export function took(begin, end) {
  const seconds = Math.max(0, (Date.parse(end) - Date.parse(begin)) / 1000);
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** A share in percent, rounded as the page rounds it. */
export const share = (value, largest) => (largest > 0 ? Math.round((1000 * Math.max(value, 0)) / largest) / 10 : 0);

/** Text, never markup; an element that has it already is left alone. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text in an element that is not there without one. */
export function writeOrHide(element, text) {
  write(element, text);
  element.hidden = text === "";
}

export function writeAll(parent, selector, text) {
  for (const element of parent.querySelectorAll(selector)) write(element, text);
}

/** A new element from one of the page's templates. */
export function cloned(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

/** The element of this kind with this key, if the page has it. */
export function named(kind, key) {
  return document.querySelector(`[data-${kind}="${CSS.escape(String(key))}"]`);
}
