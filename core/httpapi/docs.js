"use strict";
const search = document.querySelector("input");
const entries = [...document.querySelectorAll("section > details, #problems tr")].map(
  (e) => ({ element: e, text: e.textContent.toLowerCase() }),
);
search.hidden = false;
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/);
  for (const e of entries) e.element.hidden = !words.every((w) => e.text.includes(w));
});
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const around = target && target.closest("details");
  if (around) {
    around.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);
reveal();
