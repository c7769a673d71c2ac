
/** What the reader chose, kept for the next visit where the browser allows it. */
const choices = {};
function chosen(name) {
  try { return choices[name] ?? localStorage.getItem(name); } catch { return null; }
}
function choose(name, value) {
  choices[name] = value;
  try { localStorage.setItem(name, value); } catch { /* it holds for this visit */ }
  document.dispatchEvent(new Event("choice"));
}

const SCHEMES = { auto: "light dark", light: "light", dark: "dark" };
function showScheme() {
  const scheme = chosen("scheme") in SCHEMES ? chosen("scheme") : "auto";
  document.documentElement.style.colorScheme = SCHEMES[scheme];
  $("scheme").dataset.scheme = scheme;
  $("scheme").textContent = scheme[0].toUpperCase() + scheme.slice(1);
  $("scheme").ariaLabel = `Colours: ${scheme}`;
}
function nextScheme() {
  const names = Object.keys(SCHEMES);
  choose("scheme", names[(names.indexOf($("scheme").dataset.scheme) + 1) % names.length]);
}

/** Leaves the entries that have every word of the filter, and says so if there is none. */
function filter(entries) {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of entries) entry.card.hidden = entry.link.hidden = !words.every((word) => entry.text.includes(word));
  for (const part of document.querySelectorAll("main section, #links > div")) part.hidden = !part.querySelector(".card:not([hidden]), li:not([hidden])");
  const count = entries.filter((entry) => !entry.card.hidden).length;
  $("no-hit").hidden = count > 0;
  tell(words.length ? count ? `${count} found` : "Nothing matches" : "");
}

function clearFilter() {
  $("filter").value = "";
  $("filter").dispatchEvent(new Event("input"));
}

/** Opens the card that the address names. */
function openNamed() {
  const element = $(location.hash.slice(1));
  if (!element?.classList.contains("card")) return;
  if (element.hidden) clearFilter();
  if ($("menu").matches(":popover-open")) $("menu").hidePopover();
  element.open = true;
  element.dispatchEvent(new Event("toggle")); // It is filled now, so that it has its height.
  element.scrollIntoView();
  element.querySelector("summary").focus({ preventScroll: true });
}

/** Marks in the menu which card is at the top of the screen. */
function follow(entries) {
  const top = $("bar").offsetHeight + 24;
  const seen = entries.filter((entry) => !entry.card.hidden);
  const current = seen.findLast((entry) => entry.card.getBoundingClientRect().top <= top);
  for (const { link } of entries) link.firstChild.ariaCurrent = link === current?.link ? "location" : null;
  if (!current) return;
  const menu = $("menu");
  const place = current.link.offsetTop - menu.scrollTop;
  if (place < 0 || place > menu.clientHeight - 60) menu.scrollTop += place - menu.clientHeight / 2;
}

/** A section of cards, and its part of the menu. */
function section(name, about, entries) {
  const id = `part-${name}`;
  return [
    h("section", { "aria-labelledby": id }, h("h2", { id }, name), h("p", { class: "soft" }, prose(about)), entries.map((entry) => entry.card)),
    h("div", {}, h("b", {}, name), h("ul", { "aria-label": name }, entries.map((entry) => entry.link))),
  ];
}

function operationEntry(op) {
  const own = op.answers.map(([status]) => status).filter((status) => !op.common.has(status));
  return {
    card: operationCard(op),
    link: h("li", {}, h("a", { href: `#op-${op.id}` }, h("span", { class: `verb ${op.method}` }, op.method === "delete" ? "DEL" : op.method.toUpperCase()), op.title)),
    text: `${op.method} ${op.path} ${op.id} ${op.title} ${op.tag} ${own}`.toLowerCase(),
  };
}

const modelEntry = ([name, schema]) => ({
  card: modelCard(name, schema),
  link: h("li", {}, h("a", { href: `#model-${name}` }, name)),
  text: `${name} model`.toLowerCase(),
});

/** The statuses of errors that every operation has. */
function commonErrors(operations) {
  const [first, ...others] = operations.map((op) => op.answers.map(([status]) => status));
  return new Set(first.filter((status) => (status > 400 || status === "default") && others.every((statuses) => statuses.includes(status))));
}

function show() {
  const operations = operationsOf();
  const common = commonErrors(operations);
  for (const op of operations) op.common = common;
  const groups = api.tags.map((tag) => ({ name: tag.name, about: tag.description, entries: operations.filter((op) => op.tag === tag.name).map(operationEntry) }));
  groups.push({ name: "Models", about: "The shapes of bodies and answers.", entries: Object.entries(api.components.schemas).map(modelEntry) });
  const parts = groups.map(({ name, about, entries }) => section(name, about, entries));
  const entries = groups.flatMap((group) => group.entries);
  $("main").replaceChildren(
    h("h1", {}, "The API of a small clinic"),
    h("p", { class: "soft" }, `Version ${api.info.version} · `, h("a", { href: "/openapi.json" }, "openapi.json"), ` · OpenAPI ${api.openapi}`),
    ...api.info.description.split("\n\n").slice(1).map((paragraph) => h("p", {}, prose(paragraph))),
    ...parts.map(([cards]) => cards));
  $("links").replaceChildren(...parts.map(([, links]) => links));
  $("filter").oninput = () => filter(entries);
  $("filter").onkeydown = (event) => {
    if (event.key === "Enter") entries.find((entry) => !entry.card.hidden)?.link.firstChild.click();
  };
  for (const name of ["scroll", "resize"]) addEventListener(name, () => requestAnimationFrame(() => follow(entries)));
  $("menu").ontoggle = () => follow(entries);
  addEventListener("hashchange", openNamed);
  follow(entries);
  openNamed();
}
