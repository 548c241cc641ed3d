// -- images: filters, order and pages -----------------------------------------------------------------------------

const IMAGES_PER_PAGE = 24;
const FEW = 12;
const gallery = find("#gallery");
const images = findAll("template.image").map((template, index) => ({
  index, template, search: template.dataset.search, ...JSON.parse(template.dataset.facts),
}));
const measures = gallery ? JSON.parse(gallery.dataset.measures) : [];
const state = {
  page: 0, method: find("input[name=method]:checked")?.value, query: "", measure: -1, order: "first",
  filters: { class: "", level: "", only: "", model: "" }, found: [],
};

function passesFilters(layer) {
  const { class: className, level, only } = state.filters;
  return (!only || layer.method === only) && (!level || layer.level === level)
    && (!className || layer.className === className);
}

function matchesQuery(text) {
  return state.query.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text.includes(word));
}

function isFound(image) {
  const { class: className, level, only, model } = state.filters;
  return matchesQuery(image.search) && (!model || image.model === model)
    && (!(className || level || only) || image.layers.some(passesFilters));
}

// the heatmap of a method, of the class that is filtered by or else of the first one
function layerOf(image, method) {
  const own = image.layers.filter((layer) => layer.method === method);
  return own.find(passesFilters) ?? own[0];
}

const valueOf = (image, measure, method = state.method) => layerOf(image, method)?.values[measure] ?? null;

// "first" are the best, or the highest where neither side is better
function inOrder(found) {
  if (state.measure < 0) return found;
  const ascending = measures[state.measure].higher_is_better === false;
  const sign = ascending === state.order.startsWith("first") ? 1 : -1;
  const withValue = found.filter((image) => valueOf(image, state.measure) !== null);
  withValue.sort((a, b) => sign * (valueOf(a, state.measure) - valueOf(b, state.measure)));
  if (state.order.endsWith("few")) return withValue.slice(0, FEW);
  return [...withValue, ...found.filter((image) => valueOf(image, state.measure) === null)];
}

function filterRows(found) {
  const indices = new Set(found.map((image) => image.index));
  const first = new Set(images.map((image) => image.index));
  findAll("tr[data-item]").forEach((row) => {
    const { method, className, level } = row.dataset;
    const item = Number(row.dataset.item);
    const isIncluded = first.has(item) ? indices.has(item) : matchesQuery(row.dataset.search);
    row.hidden = !(isIncluded && passesFilters({ method, className, level }));
  });
}

// -- cards --------------------------------------------------------------------------------------------------------

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

function createCard(image) {
  const card = image.template.content.firstElementChild.cloneNode(true);
  const heatmaps = findAll(".heatmap", card);
  card.dataset.class = heatmaps[image.layers.indexOf(layerOf(image, state.method))]?.dataset.class ?? "0";
  showHeatmap(card);
  find(".stack", card).addEventListener("click", () => openComparison(image));
  connectSlices(card, card.dataset.slices, card);
  findAll(".classes button", card).forEach((button) => button.addEventListener("click", () => {
    card.dataset.class = button.dataset.class;
    showHeatmap(card);
  }));
  return card;
}

// the slider within an element chooses which slice of a volume is shown in all images of the target
function connectSlices(element, numbers, target) {
  findAll(".slice input", element).forEach((input) => input.addEventListener("input", () => {
    target.style.setProperty("--slice", input.value);
    input.nextElementSibling.textContent = numbers.split(" ")[input.value];
  }));
}

function describeCount(range) {
  const format = (count) => count.toLocaleString("en");
  const printed = (count) => `${format(count)} ${count === 1 ? "image" : "images"}`;
  const part = range ? `${range.map(format).join(" to ")} of ` : "";
  const isFiltered = state.query.trim() || Object.values(state.filters).some(Boolean);
  if (!isFiltered && state.found.length === images.length) return part + printed(images.length);
  return `${part}${format(state.found.length)} ${isFiltered ? "matching" : "shown"}, of ${printed(images.length)}`;
}

function showPage() {
  const filtered = images.filter(isFound);
  state.found = inOrder(filtered);
  const pages = Math.max(1, Math.ceil(state.found.length / IMAGES_PER_PAGE));
  state.page = Math.min(state.page, pages - 1);
  const first = state.page * IMAGES_PER_PAGE;
  const shown = state.found.slice(first, first + IMAGES_PER_PAGE);
  gallery.replaceChildren(...shown.map(createCard));
  find("#count").textContent = describeCount(pages > 1 ? [first + 1, first + shown.length] : null);
  find("#page").textContent = `page ${state.page + 1} of ${pages}`;
  find("#previous").disabled = state.page === 0;
  find("#next").disabled = state.page === pages - 1;
  find(".pager").hidden = pages === 1;
  filterRows(filtered);
  showValues(filtered);
}

function turnPage(step) {
  state.page += step;
  showPage();
  find("#images").scrollIntoView();
}

// -- tools --------------------------------------------------------------------------------------------------------

function update(change) {
  Object.assign(state, { page: 0 }, change);
  showPage();
}

function nameOrders() {
  const measure = measures[state.measure];
  const isNeutral = measure?.higher_is_better == null;
  const [first, last] = isNeutral ? ["highest", "lowest"] : ["best", "worst"];
  const names = [`${first} first`, `${last} first`, `${first} ${FEW}`, `${last} ${FEW}`];
  const order = find("#order");
  [...order.options].forEach((option, index) => { option.textContent = `${names[index]} for ${state.method}`; });
  order.hidden = state.measure < 0;
}

function selectMethod(method) {
  state.method = method;
  findAll("input[name=method]").forEach((input) => { input.checked = input.value === method; });
  nameOrders();
  update({ page: state.measure < 0 ? state.page : 0 });
}

function setOpacity(percent) {
  root.style.setProperty("--opacity", percent / 100);
  findAll(".opacity").forEach((slider) => {
    find("input", slider).value = percent;
    find("output", slider).textContent = `${percent} %`;
  });
}

function setColours() {
  const name = find("#colours").value;
  root.style.setProperty("--colours", `url(#cm-${name}${find("#fade").checked ? "-fade" : ""})`);
}

// the line at half heat, the boxes and the colour bar have a switch beside the images and one in the dialog
function setSwitch(name, isOn) {
  root.classList.toggle(`with-${name}`, isOn);
  findAll(`.switches [value=${name}]`).forEach((input) => { input.checked = isOn; });
}

function connectTools() {
  findAll(".switches input").forEach((input) => {
    input.addEventListener("change", () => setSwitch(input.value, input.checked));
  });
  findAll(".opacity input").forEach((input) => input.addEventListener("input", () => setOpacity(input.value)));
  findAll("input[name=method]").forEach((input) => {
    input.addEventListener("change", () => selectMethod(input.value));
  });
  find("#search").addEventListener("input", (event) => update({ query: event.target.value }));
  find("#measure").addEventListener("change", (event) => {
    state.measure = Number(event.target.value);
    nameOrders();
    update({});
  });
  find("#order").addEventListener("change", (event) => update({ order: event.target.value }));
  findAll("select[data-filter]").forEach((select) => select.addEventListener("change", () => {
    const { filter } = select.dataset;
    state.filters[filter] = select.value;
    if (filter === "only" && select.value) selectMethod(select.value);
    else update({});
  }));
  find("#colours").addEventListener("change", setColours);
  find("#fade").addEventListener("change", setColours);
  find("#previous").addEventListener("click", () => turnPage(-1));
  find("#next").addEventListener("click", () => turnPage(1));
}
