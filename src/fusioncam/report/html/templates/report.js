"use strict";
const IMAGES_PER_PAGE = 24;
const root = document.documentElement;
const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

// follows the system until the button is pressed
const systemDark = matchMedia("(prefers-color-scheme: dark)");
find("#theme").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
  root.dataset.theme = isDark ? "light" : "dark";
});

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

// -- images ---------------------------------------------------------------------------------------------------

const gallery = find("#gallery");
const templates = findAll("template.image");
const state = { page: 0, method: find("input[name=method]:checked")?.value, query: "" };

function search() {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  const isMatch = (element) => words.every((word) => element.dataset.search.includes(word));
  findAll("table.listing tbody tr").forEach((row) => { row.hidden = !isMatch(row); });
  return templates.filter(isMatch);
}

function showHeatmap(card) {
  const selectedClass = card.dataset.class ?? "0";
  const parts = findAll("[data-method]", card);
  parts.forEach((part) => {
    part.hidden = part.dataset.method !== state.method || part.dataset.class !== selectedClass;
  });
  find(".no-heatmap", card).hidden = parts.some((part) => !part.hidden);
  findAll(".classes button", card).forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.class === selectedClass));
  });
}

function createCard(template) {
  const card = template.content.firstElementChild.cloneNode(true);
  showHeatmap(card);
  find(".stack", card).addEventListener("click", () => openComparison(card));
  findAll(".classes button", card).forEach((button) => button.addEventListener("click", () => {
    card.dataset.class = button.dataset.class;
    showHeatmap(card);
  }));
  return card;
}

function describeCount(matches, range) {
  const format = (count) => count.toLocaleString("en");
  const images = (count) => `${format(count)} ${count === 1 ? "image" : "images"}`;
  const part = range ? `${range.map(format).join(" to ")} of ` : "";
  if (!state.query.trim()) return part + images(matches);
  return `${part}${format(matches)} matching, of ${images(templates.length)}`;
}

function showPage() {
  const matches = search();
  const pages = Math.max(1, Math.ceil(matches.length / IMAGES_PER_PAGE));
  state.page = Math.min(state.page, pages - 1);
  const first = state.page * IMAGES_PER_PAGE;
  const shown = matches.slice(first, first + IMAGES_PER_PAGE);
  const range = pages > 1 ? [first + 1, first + shown.length] : null;
  gallery.replaceChildren(...shown.map(createCard));
  find("#count").textContent = describeCount(matches.length, range);
  find("#page").textContent = `page ${state.page + 1} of ${pages}`;
  find("#previous").disabled = state.page === 0;
  find("#next").disabled = state.page === pages - 1;
  find(".pager").hidden = pages === 1;
}

function turnPage(step) {
  state.page += step;
  showPage();
  find("#images").scrollIntoView();
}

// -- all heatmaps of an image side by side ------------------------------------------------------------------------

function openComparison(card) {
  const dialog = find("#compare");
  find("#compare-title").textContent = find("h3", card).textContent;
  find(".panels", dialog).replaceChildren(...findAll(".heatmap", card).map((heatmap) => createPanel(card, heatmap)));
  dialog.showModal();
}

function createElement(name, ...children) {
  const element = document.createElement(name);
  element.append(...children);
  return element;
}

function createPanel(card, heatmap) {
  const { method, class: classIndex } = heatmap.dataset;
  const copy = (part) => part.cloneNode(true);
  const layer = copy(heatmap);
  layer.hidden = false;
  const stack = createElement("div", ...findAll(".base, .missing", card).map(copy), layer);
  stack.className = "stack";
  stack.style.aspectRatio = find(".stack", card).style.aspectRatio;
  const className = findAll(".classes button", card)[Number(classIndex)];
  const title = createElement(
    "figcaption", createElement("strong", method), className ? ` ${className.textContent}` : "",
  );
  const captions = findAll(".caption", card).filter(
    (caption) => caption.dataset.method === method && caption.dataset.class === classIndex,
  );
  return createElement("figure", stack, title, ...captions.flatMap((caption) => [...caption.children].map(copy)));
}

if (gallery) {
  const sliders = findAll(".opacity");
  sliders.forEach((slider) => slider.addEventListener("input", (event) => {
    const percent = event.target.value;
    root.style.setProperty("--opacity", percent / 100);
    sliders.forEach((each) => {
      find("input", each).value = percent;
      find("output", each).textContent = `${percent} %`;
    });
  }));
  findAll("input[name=method]").forEach((input) => input.addEventListener("change", () => {
    state.method = input.value;
    findAll(".card", gallery).forEach(showHeatmap);
  }));
  find("#search").addEventListener("input", (event) => {
    state.query = event.target.value;
    state.page = 0;
    showPage();
  });
  find("#previous").addEventListener("click", () => turnPage(-1));
  find("#next").addEventListener("click", () => turnPage(1));
  find("#compare").addEventListener("click", (event) => {
    if (event.target === event.currentTarget) event.target.close();
  });
  showPage();
}

// print everything that is folded, except for the figures of trust cards
addEventListener("beforeprint", () => findAll("details:not(.figures)").forEach((part) => { part.open = true; }));
