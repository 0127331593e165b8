// Votes without a new page; where that fails, the form is sent as it would be without this script.

export function enableVotes(list, show) {
  list.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("[data-vote]")) return;
    event.preventDefault();
    const body = new FormData(form, event.submitter);
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
      if (!answer.ok || !isJson) throw new Error(String(answer.status));
      show(form, await answer.json());
    } catch {
      const value = document.createElement("input");
      value.type = "hidden";
      value.name = "value";
      value.value = event.submitter.value;
      form.append(value);
      form.submit();
    }
  });
}
