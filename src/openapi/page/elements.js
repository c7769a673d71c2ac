"use strict";
const $ = (id) => document.getElementById(id);

/** An element. Strings become text, so nothing from the server is ever read as HTML. */
function h(tag, attributes, ...children) {
  const space = ["svg", "path"].includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const element = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== ""));
  return element;
}

/** Text with `code` in it. */
const prose = (text) => (text || "").split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));

const button = (label, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, label);

/** Something foldable. */
const fold = (summary, ...children) => h("details", { class: "fold" }, h("summary", {}, summary), children);

/** JSON in quiet colours. A very long text stays plain, so that it is there at once. */
function colored(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  if (text.length > 200_000) return text;
  const parts = text.split(/("(?:[^"\\]|\\.)*"\s*:?|-?\b\d[\d.eE+-]*|\btrue\b|\bfalse\b|\bnull\b)/);
  return parts.map((part, at) => {
    if (at % 2 === 0) return part;
    return h("span", { class: part.endsWith(":") ? "k" : part[0] === '"' ? "s" : "n" }, part);
  });
}

/** Code, with a button that copies it. */
function block(label, children) {
  const code = h("pre", { tabindex: 0, role: "group", "aria-label": label }, children);
  return h("div", { class: "code" }, code, button("Copy", (event) => copy(event.target, code.textContent), { class: "copy", "aria-label": `Copy: ${label}` }));
}

async function copy(pressed, text) {
  const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false) || copiedByHand(text);
  pressed.textContent = copied ? "Copied" : "Failed";
  tell(copied ? "Copied" : "It could not be copied");
  await pause(1500);
  pressed.textContent = "Copy";
}

/** Browsers offer no clipboard to pages without TLS, other than this. */
function copiedByHand(text) {
  const focused = document.activeElement;
  const area = h("textarea", { class: "hidden" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused.focus();
  return copied;
}

/** Says something to those who do not see the page. */
function tell(text) {
  $("news").textContent = text;
}

/** Waits, for so many milliseconds. */
const pause = (time) => new Promise((resume) => setTimeout(resume, time));
