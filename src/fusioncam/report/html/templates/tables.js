// -- tables -----------------------------------------------------------------------------------------------------

function sortBy(header, column) {
  const table = header.closest("table");
  const bestFirst = header.textContent.includes("↑") ? "descending" : "ascending";
  const worstFirst = bestFirst === "ascending" ? "descending" : "ascending";
  const direction = header.getAttribute("aria-sort") === bestFirst ? worstFirst : bestFirst;
  findAll("thead th", table).forEach((cell) => cell.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", direction);
  findAll("tbody.sortable", table).forEach((body) => sortRows(body, column, direction));
}

function sortRows(body, column, direction) {
  const rows = [...body.rows].map((row) => [row.cells[column].dataset.key, row]);
  const withValue = rows.filter(([key]) => key !== "");
  const withoutValue = rows.filter(([key]) => key === "");
  const isNumeric = column > 0 && withValue.every(([key]) => !Number.isNaN(Number(key)));
  const compareKeys = isNumeric ? (a, b) => a - b : new Intl.Collator(undefined, { numeric: true }).compare;
  const sign = direction === "ascending" ? 1 : -1;
  withValue.sort(([a], [b]) => sign * compareKeys(a, b));
  body.append(...withValue.map(([, row]) => row), ...withoutValue.map(([, row]) => row));
}

findAll("thead tr").forEach((row) => {
  [...row.cells].forEach((header, column) => header.addEventListener("click", () => sortBy(header, column)));
});
