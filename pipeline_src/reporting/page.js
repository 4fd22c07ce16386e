"use strict";

const table = document.getElementById("measurements");
const body = table.tBodies[0];
const filters = [...document.querySelectorAll("[data-key]")];
const everyRuntime = document.getElementById("every-runtime");

function filterRows() {
  let shown = 0;
  for (const row of body.rows) {
    const bicubic = row.classList.contains("bicubic"); // shown with every system and variant
    const excludes = ({ value, dataset: { key } }) =>
      value && row.dataset[key] !== value && !(bicubic && ["system", "variant"].includes(key));
    row.hidden = filters.some(excludes) || ("extra" in row.dataset && !everyRuntime.checked);
    shown += !row.hidden;
  }
  document.getElementById("count").value = `${shown} of ${body.rows.length} rows`;
}

function sortRows(header) {
  const { first } = header.querySelector("button").dataset;
  const second = first === "ascending" ? "descending" : "ascending";
  const direction = header.ariaSort === first ? second : first;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);

  const sign = direction === "ascending" ? 1 : -1;
  const numeric = header.classList.contains("number");
  const key = (row) => {
    const cell = row.cells[header.cellIndex];
    const text = numeric ? cell.dataset.value : cell.textContent.replace("–", "");
    return text === "" ? null : numeric ? Number(text) : text;
  };
  const compare = (rowA, rowB) => {
    const [a, b] = [key(rowA), key(rowB)];
    if (a === null || b === null) return (a === null) - (b === null); // missing values come last in both directions
    return sign * (numeric ? a - b : a.localeCompare(b));
  };
  body.append(...[...body.rows].sort(compare));
}

for (const control of [...filters, everyRuntime]) control.addEventListener("change", filterRows);
for (const header of table.tHead.rows[0].cells) {
  header.querySelector("button").addEventListener("click", () => sortRows(header));
}
filterRows();

for (const slider of document.querySelectorAll(".slider")) {
  const stage = slider.querySelector(".stage");
  const divider = slider.querySelector("input");
  const chosen = Object.fromEntries([...slider.querySelectorAll("select")].map((s) => [s.dataset.side, s]));
  const label = (side) => chosen[side].selectedOptions[0].text;

  const update = () => {
    stage.style.setProperty("--position", `${divider.value}%`);
    divider.setAttribute("aria-valuetext", `${Math.round(divider.value)} % ${label("left")}, rest ${label("right")}`);
    for (const layer of slider.querySelectorAll(".layer")) {
      for (const side of ["left", "right"]) layer.classList.toggle(side, chosen[side].value === layer.dataset.name);
    }
  };
  divider.addEventListener("input", update);
  for (const select of Object.values(chosen)) select.addEventListener("change", update);
  update();
}
