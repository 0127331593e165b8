// What the page was made from: the data as of its number, and the rules by which moves are shown.

export const live = JSON.parse(document.getElementById("status-live").textContent);
export const rules = live.rules;
