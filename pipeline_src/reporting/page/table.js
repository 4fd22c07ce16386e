// The table of all measurements. A cell is a number into the list of its column's different texts, so that thousands of
// rows stay small; rows become elements only when they are shown.

const AT_ONCE = 100; // rows that are shown before the reader asks for more

function startTable() {
  const { columns, headline, bicubic } = readData("table-data");
  const count = headline.length;
  const places = Object.fromEntries(columns.map((column, place) => [column.name, place]));
  const body = document.querySelector("#measurements tbody");
  const filters = [...document.querySelectorAll("#table-form [data-key]")];
  const everyRuntime = document.getElementById("every-runtime");
  const find = document.getElementById("find");
  const more = document.getElementById("more");
  let order = [...Array(count).keys()];
  let limit = AT_ONCE;

  const text = (row, name) => columns[places[name]].texts[columns[places[name]].cells[row]];

  function isShown(row) {
    if (!everyRuntime.checked && !headline[row]) return false;
    if (find.value && !text(row, "system").toLowerCase().includes(find.value.trim().toLowerCase())) return false;
    return filters.every(({ value, dataset: { key } }) => {
      const always = bicubic[row] && !["scale", "set"].includes(key); // bicubic is beside every net
      return !value || always || text(row, key) === value;
    });
  }

  function cell(column, row, first) {
    const shown = column.texts[column.cells[row]];
    return element(
      first ? "th" : "td",
      { className: column.number ? "number" : "", ...(first && { scope: "row" }) },
      shown,
    );
  }

  function show() {
    const visible = columns.filter((column) => column.shown);
    const rows = order.filter(isShown);
    body.replaceChildren(
      ...rows
        .slice(0, limit)
        .map((row) =>
          element(
            "tr",
            { className: bicubic[row] ? "bicubic" : "" },
            ...visible.map((column, place) => cell(column, row, place === 0)),
          ),
        ),
    );
    more.hidden = rows.length <= limit;
    more.textContent = `Show all ${rows.length} rows`;
    document.getElementById("count").value = `${rows.length} of ${count} rows`;
  }

  function showHead() {
    const headers = columns
      .filter((column) => column.shown)
      .map((column) => {
        const button = element("button", { type: "button", onclick: () => sort(column) }, column.title);
        const header = element("th", { scope: "col", className: column.number ? "number" : "" }, button);
        if (column.direction) header.ariaSort = column.direction;
        return header;
      });
    document.querySelector("#measurements thead tr").replaceChildren(...headers);
  }

  function sort(column) {
    const first = column.largestFirst ? "descending" : "ascending";
    const direction = column.direction === first ? (first === "ascending" ? "descending" : "ascending") : first;
    for (const other of columns) delete other.direction;
    column.direction = direction;
    const rank = ranks(column, direction);
    order.sort((a, b) => rank[column.cells[a]] - rank[column.cells[b]] || a - b);
    showHead();
    show();
  }

  // The place of each different value of a column; what is missing comes last in both directions.
  function ranks(column, direction) {
    const sign = direction === "ascending" ? 1 : -1;
    const values = column.number ? column.numbers : column.texts.map((shown) => (shown === "–" ? null : shown));
    const compare = (a, b) => {
      if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null);
      return sign * (column.number ? values[a] - values[b] : values[a].localeCompare(values[b]));
    };
    const sorted = [...values.keys()].sort(compare);
    const rank = [];
    sorted.forEach((value, place) => {
      rank[value] = place && compare(sorted[place - 1], value) === 0 ? rank[sorted[place - 1]] : place;
    });
    return rank;
  }

  for (const column of columns) {
    const box = element("input", { type: "checkbox", checked: column.shown });
    box.addEventListener("change", () => {
      column.shown = box.checked;
      showHead();
      show();
    });
    document.getElementById("columns").append(element("label", {}, box, ` ${column.title}`));
  }
  for (const control of [...filters, everyRuntime, find]) {
    control.addEventListener("input", () => {
      limit = AT_ONCE;
      show();
    });
  }
  more.addEventListener("click", () => {
    limit = Infinity;
    show();
  });
  document.getElementById("table-form").addEventListener("submit", (event) => event.preventDefault());
  showHead();
  show();
}
