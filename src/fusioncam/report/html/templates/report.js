"use strict";
const PER_PAGE = 24;
const root = document.documentElement;
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// light or dark: what the system wants, until the button is pressed
const systemDark = matchMedia("(prefers-color-scheme: dark)");
one("#theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// -- tables -----------------------------------------------------------------------------------------------------

function sortBy(header, place) {
  const table = header.closest("table");
  const better = header.textContent.includes("↑") ? "descending" : "ascending";
  const other = better === "ascending" ? "descending" : "ascending";
  const direction = header.getAttribute("aria-sort") === better ? other : better;
  all("thead th", table).forEach((cell) => cell.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", direction);
  all("tbody.sorts", table).forEach((body) => {
    const rows = [...body.rows].map((row) => [row.cells[place].dataset.key, row]);
    const known = rows.filter(([key]) => key !== "");
    const numbers = place > 0 && known.every(([key]) => !Number.isNaN(Number(key)));
    const compare = numbers ? (a, b) => a - b : new Intl.Collator(undefined, { numeric: true }).compare;
    const sign = direction === "ascending" ? 1 : -1;
    known.sort(([a], [b]) => sign * compare(a, b));
    // what has no value stays below
    body.append(...known.map(([, row]) => row), ...rows.filter(([key]) => key === "").map(([, row]) => row));
  });
}

all("thead tr").forEach((row) => {
  [...row.cells].forEach((header, place) => header.addEventListener("click", () => sortBy(header, place)));
});

// -- images ---------------------------------------------------------------------------------------------------

const gallery = one("#gallery");
const templates = all("template.image");
const state = { page: 0, method: one("input[name=method]:checked")?.value, query: "" };

const found = () => {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (element) => words.every((word) => element.dataset.words.includes(word));
  all("table.listing tbody tr").forEach((row) => { row.hidden = !holds(row); });
  return templates.filter(holds);
};

function showLayers(card) {
  const group = card.dataset.group ?? "0";
  let any = false;
  all("[data-method]", card).forEach((part) => {
    part.hidden = part.dataset.method !== state.method || part.dataset.group !== group;
    any ||= !part.hidden;
  });
  one(".none", card).hidden = any;
  all(".classes button", card).forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.group === group));
  });
}

function cardOf(template) {
  const card = template.content.firstElementChild.cloneNode(true);
  showLayers(card);
  one(".stack", card).addEventListener("click", () => compare(card));
  all(".classes button", card).forEach((button) => button.addEventListener("click", () => {
    card.dataset.group = button.dataset.group;
    showLayers(card);
  }));
  return card;
}

function counted(matches, range) {
  const number = (count) => count.toLocaleString("en");
  const images = (count) => `${number(count)} ${count === 1 ? "image" : "images"}`;
  const part = range ? `${range.map(number).join(" to ")} of ` : "";
  if (!state.query.trim()) return part + images(matches);
  return `${part}${number(matches)} that match, of ${images(templates.length)}`;
}

function show() {
  const matches = found();
  const pages = Math.max(1, Math.ceil(matches.length / PER_PAGE));
  state.page = Math.min(state.page, pages - 1);
  const first = state.page * PER_PAGE;
  const shown = matches.slice(first, first + PER_PAGE);
  gallery.replaceChildren(...shown.map(cardOf));
  one("#count").textContent = counted(matches.length, pages > 1 ? [first + 1, first + shown.length] : null);
  one("#page").textContent = `page ${state.page + 1} of ${pages}`;
  one("#back").disabled = state.page === 0;
  one("#on").disabled = state.page === pages - 1;
  one(".pager").hidden = pages === 1;
}

function turn(step) {
  state.page += step;
  show();
  one("#images").scrollIntoView();
}

// all heatmaps of an image side by side
function compare(card) {
  const dialog = one("#compare");
  one("#compare-title").textContent = one("h3", card).textContent;
  one(".panels", dialog).replaceChildren(...all(".heat", card).map((heat) => panelOf(card, heat)));
  dialog.showModal();
}

function panelOf(card, heat) {
  const copy = (part) => part.cloneNode(true);
  const of = (part) => part.dataset.method === heat.dataset.method && part.dataset.group === heat.dataset.group;
  const made = (name, ...children) => {
    const element = document.createElement(name);
    element.append(...children);
    return element;
  };
  const layer = copy(heat);
  layer.hidden = false;
  const stack = made("div", ...all(".base, .gone", card).map(copy), layer);
  stack.className = "stack";
  stack.style.aspectRatio = one(".stack", card).style.aspectRatio;
  const title = all(".classes button", card)[Number(heat.dataset.group)];
  const caption = made("figcaption", made("strong", heat.dataset.method), title ? ` ${title.textContent}` : "");
  return made("figure", stack, caption, ...all(".told", card).filter(of).flatMap((told) => [...told.children].map(copy)));
}

if (gallery) {
  const sliders = all(".opacity");
  sliders.forEach((slider) => slider.addEventListener("input", (event) => {
    const percent = event.target.value;
    root.style.setProperty("--opacity", percent / 100);
    sliders.forEach((other) => {
      one("input", other).value = percent;
      one("output", other).textContent = `${percent} %`;
    });
  }));
  all("input[name=method]").forEach((input) => input.addEventListener("change", () => {
    state.method = input.value;
    all(".card", gallery).forEach(showLayers);
  }));
  one("#search").addEventListener("input", (event) => {
    state.query = event.target.value;
    state.page = 0;
    show();
  });
  one("#back").addEventListener("click", () => turn(-1));
  one("#on").addEventListener("click", () => turn(1));
  one("#compare").addEventListener("click", (event) => {
    if (event.target === event.currentTarget) event.target.close();
  });
  show();
}

addEventListener("beforeprint", () => all("details:not(.figures)").forEach((part) => { part.open = true; }));
