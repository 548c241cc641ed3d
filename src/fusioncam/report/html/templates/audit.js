// -- images: filters and order ------------------------------------------------------------------------------------

const IMAGES_PER_PAGE = 24;
const templates = findAll("template.image");
const byName = new Map(templates.map((template) => [template.dataset.image, template]));
const gallery = find("#gallery");
const filters = findAll("[data-filter]");
const limit = find("#on-object");
let page = 0;
let matches = templates;

// attributes of measures have hyphens, of which `dataset` makes capitals
const measured = (template, key) => template.getAttribute(`data-${key}`);

function isMatch(template) {
  const words = find("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const isBelow = !limit || limit.value === "100" || (measured(template, "on-object") !== "" && measured(template, "on-object") * 100 <= limit.value);
  return isBelow && words.every((word) => template.dataset.search.includes(word))
    && filters.every((filter) => !filter.value || template.dataset[filter.dataset.filter] === filter.value);
}

function ordered(found) {
  const key = find("#measure").value;
  if (!key) return found;
  const sign = Number(find("#order").value);
  const known = found.filter((template) => measured(template, key) !== "");
  const unknown = found.filter((template) => measured(template, key) === "");
  return [...known.sort((a, b) => sign * (measured(a, key) - measured(b, key))), ...unknown];
}

function createCard(template) {
  const card = template.content.firstElementChild.cloneNode(true);
  find(".stack", card).addEventListener("click", () => openDetail(template));
  return card;
}

function showPage() {
  const pages = Math.max(1, Math.ceil(matches.length / IMAGES_PER_PAGE));
  page = Math.min(page, pages - 1);
  gallery.replaceChildren(...matches.slice(page * IMAGES_PER_PAGE, (page + 1) * IMAGES_PER_PAGE).map(createCard));
  const all = templates.length.toLocaleString("en");
  find("#count").textContent = matches.length === templates.length ? `${all} images` : `${matches.length.toLocaleString("en")} of ${all} images`;
  find("#page").textContent = `page ${page + 1} of ${pages}`;
  find("#previous").disabled = page === 0;
  find("#next").disabled = page === pages - 1;
  find(".pager").hidden = pages === 1;
}

function select() {
  find("#order").hidden = !find("#measure").value;
  matches = ordered(templates.filter(isMatch));
  page = 0;
  const chosen = find("[data-filter=class]")?.value;
  findAll(".class-card").forEach((card) => card.setAttribute("aria-pressed", String(card.dataset.showClass === chosen)));
  showPage();
}

function turnPage(step) {
  page += step;
  showPage();
  find("#images").scrollIntoView();
}

function showClass(name) {
  clearFilters();
  const choice = find("[data-filter=class]");
  if (choice) choice.value = name;
  select();
  find("#images").scrollIntoView();
}

function clearFilters() {
  filters.forEach((filter) => { filter.value = ""; });
  find("#search").value = "";
  if (limit) limit.value = 100;
  showLimit();
}

function showLimit() {
  if (limit) find("output", limit.parentElement).textContent = `${limit.value} %`;
}

// -- one image ----------------------------------------------------------------------------------------------------

let opened = null;

function createPanel(card, withHeatmap) {
  const stack = find(".stack", card).cloneNode(true);
  if (!withHeatmap) find(".heatmap", stack).remove();
  const shown = createElement("div", { className: "stack" }, ...stack.childNodes);
  shown.style.aspectRatio = stack.style.aspectRatio;
  return createElement("figure", {}, shown, createElement("figcaption", {}, withHeatmap ? "with its heatmap" : "what the network receives"));
}

function openDetail(template) {
  opened = template;
  const card = template.content.firstElementChild;
  find("#detail-title").textContent = `${find("h3", card).textContent}: ${find(".class", card).textContent}`;
  find("#detail .panels").replaceChildren(createPanel(card, false), createPanel(card, true));
  find("#detail-facts").replaceChildren(...find(".numbers", card).cloneNode(true).childNodes);
  const position = matches.indexOf(template);
  find("#earlier").disabled = position < 1;
  find("#later").disabled = position < 0 || position === matches.length - 1;
  if (!find("#detail").open) find("#detail").showModal();
}

function step(by) {
  const next = matches[matches.indexOf(opened) + by];
  if (next && matches.includes(opened)) openDetail(next);
}

findAll("[data-open]").forEach((button) => {
  const template = byName.get(button.dataset.open);
  if (!template) { button.remove(); return; }
  button.append(...findAll(".stack > *", template.content).map((part) => part.cloneNode(true)));
  button.addEventListener("click", () => openDetail(template));
});

filters.forEach((filter) => filter.addEventListener("change", select));
for (const name of ["#measure", "#order"]) find(name).addEventListener("change", select);
find("#search").addEventListener("input", select);
limit?.addEventListener("input", () => { showLimit(); select(); });
find("#clear").addEventListener("click", () => { clearFilters(); select(); });
find("#previous").addEventListener("click", () => turnPage(-1));
find("#next").addEventListener("click", () => turnPage(1));
find("#earlier").addEventListener("click", () => step(-1));
find("#later").addEventListener("click", () => step(1));
find("#detail").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
find("#detail").addEventListener("click", (event) => { if (event.target === event.currentTarget) event.target.close(); });
findAll("[data-show-class]").forEach((button) => button.addEventListener("click", () => showClass(button.dataset.showClass)));
findAll("#classes tbody th, #against tbody th").forEach((cell) => cell.addEventListener("click", () => showClass(cell.textContent)));
find(".opacity input").addEventListener("input", (event) => {
  root.style.setProperty("--opacity", event.target.value / 100);
  find(".opacity output").textContent = `${event.target.value} %`;
});
select();
addEventListener("beforeprint", () => findAll("details").forEach((part) => { part.open = true; }));
