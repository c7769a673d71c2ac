
// What an answer of a history or of a list of deleted records shows beside its body.

const isVersion = (item) => item && "record" in item && "version" in item && "action" in item;

/** What changed from one version to the next, newest first; or the deleted records, each with a way back. */
function historyOf(op, { answer, json }) {
  const list = answer.ok && Array.isArray(json?.data) ? json.data : [];
  if (isVersion(list[0])) return h("ol", { class: "history", "aria-label": "What changed" }, list.map((item, at) => versionOf(item, list[at + 1])));
  if (list[0]?.deleted_at) return h("ul", { class: "history", "aria-label": "Deleted records" }, list.map((item) => deletedOf(op, item)));
  return "";
}

/** A version, and the fields that it changed of the one before, if that is on the page. */
function versionOf({ version, at, actor_id: actor, action, record }, before) {
  const old = before?.record ?? {};
  const isKnown = before?.record || action === "create";
  const names = record && isKnown ? Object.keys(record).filter((name) => name !== "updated_at" && JSON.stringify(record[name]) !== JSON.stringify(old[name])) : [];
  const short = (value) => { const text = JSON.stringify(value ?? null); return text.length > 80 ? `${text.slice(0, 80)}…` : text; };
  return h("li", { value: version }, h("strong", {}, action), h("span", { class: "soft" }, ` ${at}, ${actor ? `user ${actor}` : "nobody logged in"}`),
    h("ul", {}, names.map((name) => h("li", {}, h("code", {}, name), ": ", name in old ? [h("del", {}, short(old[name])), " → "] : "", h("ins", {}, short(record[name]))))));
}

/** A deleted record, with a button that brings it back. */
function deletedOf(op, item) {
  const name = item.name ?? `${item.patient?.name}, ${item.doctor?.name}`;
  const said = h("span", { role: "status" });
  const target = op.path.replace("deleted", `${item.id}/undelete`);
  const back = button("Undelete", () => once(back, async () => {
    const { answer, json } = await sendInSession({ method: "POST", target, headers: {}, isSigned: true });
    said.textContent = ` ${json?.message ?? answer.status}`;
    back.hidden = answer.ok;
  }), { "aria-label": `Undelete ${name}` });
  return h("li", {}, name, h("span", { class: "soft" }, ` deleted ${item.deleted_at} `), back, said);
}
