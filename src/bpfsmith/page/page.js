"use strict";
// Lines that share data-k light up together; arrow keys move in a listing, Enter keeps, Esc lets go. Without this script the page
// is all there, but for that.
(() => {
  const lit = (key) => {
    for (const one of document.querySelectorAll(".lit")) one.classList.remove("lit");
    if (!key) return [];
    const same = [...document.querySelectorAll("[data-k]")].filter((one) => one.dataset.k === key);
    for (const one of same) one.classList.add("lit");
    return same;
  };
  const show = (line) => {
    const own = line.closest(".code");
    const seen = new Set([own]);
    for (const one of lit(line.dataset.k)) {
      const pane = one.closest(".code");
      if (!pane || seen.has(pane)) continue;
      seen.add(pane);
      pane.scrollTop = Math.max(0, one.offsetTop - pane.offsetTop - pane.clientHeight / 3);
    }
  };
  let kept = null;
  const at = (pane, line) => {
    for (const one of document.querySelectorAll(".code .at")) { one.classList.remove("at"); one.setAttribute("aria-selected", "false"); }
    if (!line) { pane.removeAttribute("aria-activedescendant"); return; }
    line.classList.add("at");
    line.setAttribute("aria-selected", "true");
    line.id ||= `line-${Math.random().toString(36).slice(2)}`;
    pane.setAttribute("aria-activedescendant", line.id);
    const top = line.offsetTop - pane.offsetTop;
    if (top < pane.scrollTop) pane.scrollTop = top;
    if (top + line.offsetHeight > pane.scrollTop + pane.clientHeight) pane.scrollTop = top + line.offsetHeight - pane.clientHeight;
  };
  for (const pane of document.querySelectorAll(".code")) {
    const lines = [...pane.children];
    pane.addEventListener("mouseover", (event) => {
      const line = event.target.closest("li");
      if (line && !kept) lit(line.dataset.k);
    });
    pane.addEventListener("mouseleave", () => { if (!kept) lit(null); });
    pane.addEventListener("click", (event) => {
      const line = event.target.closest("li");
      if (!line) return;
      kept = kept === line ? null : line;
      at(pane, kept);
      kept ? show(line) : lit(null);
    });
    pane.addEventListener("keydown", (event) => {
      const now = lines.findIndex((one) => one.classList.contains("at"));
      const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: lines.length - 1, PageDown: now + 15, PageUp: now - 15 }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        kept = lines[Math.min(Math.max(to, 0), lines.length - 1)];
        at(pane, kept);
        show(kept);
      } else if (event.key === "Escape") {
        kept = null;
        at(pane, null);
        lit(null);
      }
    });
  }
  const theme = document.getElementById("theme");
  const dark = () => document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-pressed", String(dark())); };
  theme.hidden = false;
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; label(); });
  label();
})();
