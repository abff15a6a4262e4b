"use strict";
// Clicking a heading sorts its table: best first, then worst first, then as it was. Printing opens what is folded.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows].at(-1).cells;
  const key = (row, place) => row.cells[place].textContent.trim();
  const number = (text) => (text === "–" ? NaN : parseFloat(text.replace(/,/g, "")));
  [...heads].forEach((head, place) => {
    if (head.classList.contains("picture")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = button.querySelector(".arrow")?.textContent === "↑";
      const order = { none: up ? "descending" : "ascending", ascending: up ? "none" : "descending",
                      descending: up ? "ascending" : "none" }[head.getAttribute("aria-sort") ?? "none"];
      for (const other of heads) other.removeAttribute("aria-sort");
      table.classList.toggle("sorted", order !== "none");
      const sorted = [...rows];
      if (order !== "none") {
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        sorted.sort((one, other) => {
          if (!head.classList.contains("number")) return sign * key(one, place).localeCompare(key(other, place));
          const [a, b] = [number(key(one, place)), number(key(other, place))];
          return Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || 0;
        });
      }
      body.append(...sorted);
    });
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
