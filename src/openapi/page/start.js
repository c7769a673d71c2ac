
/** `/` leads to the filter from wherever nothing is written. */
function goToFilter(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, textarea, select") || $("login").open) return;
  event.preventDefault();
  if ($("menu-button").offsetParent) $("menu").showPopover();
  $("filter").focus();
}

async function readDocument() {
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    api = await answer.json();
    show();
  } catch (error) {
    $("loading")?.replaceChildren(`The document cannot be read: ${error.message}. `, button("Try again", readDocument, { class: "link" }));
  }
}

$("scheme").onclick = nextScheme;
$("clear").onclick = clearFilter;
$("links").onclick = (event) => {
  // The address may name the card already.
  if (event.target.closest("a")?.hash === location.hash) openNamed();
};
$("session").onclick = () => (session.token ? logOut() : openLogin());
$("login-form").onsubmit = submitLogin;
$("other-way").onclick = () => askFor($("name-row").hidden);
$("cancel").onclick = $("forgot").onclick = () => $("login").close();
addEventListener("keydown", goToFilter);
document.addEventListener("choice", showScheme);
new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${$("bar").offsetHeight}px`)).observe($("bar"));
showScheme();
readDocument();
