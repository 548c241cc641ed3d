// -- one image: its heatmaps side by side, or two of them under a slider or as their difference -------------------

const dialog = find("#compare");
const compared = { image: null, view: "all", wipe: ["", ""], difference: ["", ""] };

const partsOf = (image, selector) => findAll(selector, image.template.content);

function openComparison(image, method = state.method) {
  if (!image) return;
  const other = image.layers.map((layer) => layer.method).find((name) => name !== method) ?? method;
  compared.wipe[1] ||= method;
  compared.difference[0] ||= other;
  compared.difference[1] ||= method;
  showImage(image);
  if (!dialog.open) dialog.showModal();
  const selected = findAll("figure", dialog).find((figure) => figure.dataset.method === method);
  if (method !== state.method && selected) selected.scrollIntoView({ block: "nearest" });
}

function showImage(image) {
  compared.image = image;
  const position = state.found.indexOf(image);
  find("#compare-title").textContent = find("h3", image.template.content).textContent;
  find("#position").textContent = position < 0 ? "" : `${position + 1} of ${state.found.length}`;
  find("#earlier").disabled = position <= 0;
  find("#later").disabled = position < 0 || position === state.found.length - 1;
  showSlices(image);
  showView();
}

function showSlices(image) {
  const [card] = partsOf(image, ".card");
  ["--slices", "--slice"].forEach((name) => dialog.style.setProperty(name, card.style.getPropertyValue(name)));
  find("#slice").replaceChildren(...partsOf(image, ".slice").map((slider) => slider.cloneNode(true)));
  connectSlices(find("#slice"), card.dataset.slices, dialog);
}

function step(by) {
  const position = state.found.indexOf(compared.image);
  const next = state.found[position + by];
  if (position >= 0 && next) showImage(next);
}

function showView() {
  const isPair = compared.view !== "all";
  findAll("#views button").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.value === compared.view));
  });
  find("#pair").hidden = !isPair;
  find(".panels", dialog).hidden = isPair;
  if (isPair) showPair();
  else find(".panels", dialog).replaceChildren(...createPanels(compared.image));
}

// -- all heatmaps -------------------------------------------------------------------------------------------------

function createStack(image, heatmap) {
  const bases = partsOf(image, ".base, .missing").map((part) => part.cloneNode(true));
  const layers = heatmap ? [heatmap, heatmap.nextElementSibling].map((layer) => layer.cloneNode(true)) : [];
  const { className } = partsOf(image, ".stack")[0];
  const stack = createElement("div", { className }, ...bases, ...layers);
  stack.style.aspectRatio = partsOf(image, ".stack")[0].style.aspectRatio;
  return stack;
}

function titleOf(image, heatmap) {
  const className = partsOf(image, ".classes button")[Number(heatmap.dataset.class)];
  return className ? `${heatmap.dataset.method} ${className.textContent}` : heatmap.dataset.method;
}

function createPanel(image, heatmap) {
  const { method, class: classIndex } = heatmap.dataset;
  const rest = titleOf(image, heatmap).slice(method.length);
  const title = createElement("figcaption", {}, createElement("strong", { textContent: method }), rest);
  const captions = partsOf(image, ".caption").filter(
    (caption) => caption.dataset.method === method && caption.dataset.class === classIndex,
  );
  const copies = captions.flatMap((caption) => [...caption.children].map((child) => child.cloneNode(true)));
  const figure = createElement("figure", {}, createStack(image, heatmap), title, ...copies);
  figure.dataset.method = method;
  return figure;
}

function createPanels(image) {
  const caption = createElement("figcaption", {}, createElement("strong", { textContent: "original" }));
  const heatmaps = partsOf(image, ".heatmap");
  const { only } = state.filters;
  const chosen = heatmaps.filter((heatmap) => !only || heatmap.dataset.method === only);
  const original = createElement("figure", {}, createStack(image, null), caption);
  return [original, ...chosen.map((heatmap) => createPanel(image, heatmap))];
}

// -- two of them ----------------------------------------------------------------------------------------------------

function fillChoices(select, image, chosen, withOriginal) {
  const original = withOriginal ? [["", "original"]] : [];
  const heatmaps = partsOf(image, ".heatmap").map((heatmap) => [titleOf(image, heatmap), titleOf(image, heatmap)]);
  const choices = [...original, ...heatmaps];
  select.replaceChildren(...choices.map(([value, text]) => createElement("option", { value, textContent: text })));
  // of an image with several classes, the first heatmap of the method
  const found = choices.find(([value]) => value === chosen)
    ?? choices.find(([value]) => chosen && value.startsWith(`${chosen} `)) ?? choices[0];
  select.value = found?.[0] ?? "";
}

function chosenHeatmap(select) {
  return partsOf(compared.image, ".heatmap").find((heatmap) => titleOf(compared.image, heatmap) === select.value);
}

function showPair() {
  const [left, right] = findAll("#pair select");
  const isWipe = compared.view === "wipe";
  const chosen = compared[compared.view];
  fillChoices(left, compared.image, chosen[0], isWipe);
  fillChoices(right, compared.image, chosen[1], isWipe);
  drawPair();
}

function drawPair() {
  const [left, right] = findAll("#pair select").map(chosenHeatmap);
  const isWipe = compared.view === "wipe";
  const stage = find("#stage");
  stage.replaceChildren(...(isWipe ? createWipe(left, right) : createDifference(left, right)));
  find("#pair-captions").replaceChildren(...[left, right].filter(Boolean).map(describeHeatmap));
  find("#wipe").hidden = !isWipe;
  findAll("#pair [data-view]").forEach((part) => { part.hidden = part.dataset.view !== compared.view; });
}

function describeHeatmap(heatmap) {
  const index = partsOf(compared.image, ".heatmap").indexOf(heatmap);
  const caption = partsOf(compared.image, ".caption .quiet")[index]?.lastChild.textContent ?? "";
  const title = createElement("strong", { textContent: titleOf(compared.image, heatmap) });
  return createElement("p", { className: "quiet" }, title, ` ${caption}`);
}

function createWipe(left, right) {
  const upper = createStack(compared.image, right);
  upper.classList.add("upper");
  return [createStack(compared.image, left), upper, createElement("i", { className: "edge" })];
}

// half of one grey heatmap and half of the other one inverted: 0.5 where they are equal
function createDifference(left, right) {
  const stack = createStack(compared.image, null);
  stack.classList.add("pale");
  if (!left || !right) return [stack];
  const copies = [right, left].map((heatmap) => heatmap.cloneNode(true));
  copies.forEach((copy) => { copy.hidden = false; });
  stack.append(createElement("div", { className: "difference" }, ...copies));
  return [stack];
}

function moveEdge(percent) {
  find("#wipe").value = percent;
  find("#stage").style.setProperty("--wipe", `${percent}%`);
}

function followPointer(event) {
  if (compared.view !== "wipe" || !(event.buttons & 1)) return;
  const { left, width } = find("#stage").getBoundingClientRect();
  moveEdge(Math.round(Math.min(100, Math.max(0, ((event.clientX - left) / width) * 100))));
}

function connectDialog() {
  findAll("#views button").forEach((button) => button.addEventListener("click", () => {
    compared.view = button.value;
    showView();
  }));
  findAll("#pair select").forEach((select, side) => select.addEventListener("change", () => {
    compared[compared.view][side] = select.value;
    drawPair();
  }));
  find("#wipe").addEventListener("input", (event) => moveEdge(event.target.value));
  find("#stage").addEventListener("pointerdown", followPointer);
  find("#stage").addEventListener("pointermove", followPointer);
  find("#earlier").addEventListener("click", () => step(-1));
  find("#later").addEventListener("click", () => step(1));
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("input[type=range], select")) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
