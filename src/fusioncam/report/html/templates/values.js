// -- values of two methods, image by image --------------------------------------------------------------------------

const MAX_ROWS = 200;
const SERIES = 4;
const values = find("#values");
const pairChoices = values ? findAll("select", values) : [];

function pointsOf(found, measure, [first, second]) {
  return found.flatMap((image) => {
    const [x, y] = [first, second].map((method) => valueOf(image, measure, method));
    const text = `${image.name}\n${printNumber(x)}  ${first}\n${printNumber(y)}  ${second}`;
    return x === null || y === null ? [] : [{ image, x, y, text }];
  });
}

function describePairs(points, measure, [first, second]) {
  const sign = measure.higher_is_better ? 1 : -1;
  const wins = points.filter(({ x, y }) => sign * (y - x) > 0).length;
  const ties = points.filter(({ x, y }) => x === y).length;
  const mean = points.reduce((sum, { x, y }) => sum + y - x, 0) / (points.length || 1);
  return `${second} is better on ${wins} of ${points.length} images, ${first} on ${points.length - wins - ties}, `
    + `equal on ${ties}; mean difference ${printNumber(mean)}.`;
}

function showValues(found) {
  if (!values) return;
  const measure = Number(pairChoices[0].value);
  const methods = pairChoices.slice(1).map((select) => select.value);
  const points = pointsOf(found, measure, methods);
  const { name } = measures[measure];
  find("#pairs").textContent = points.length
    ? describePairs(points, measures[measure], methods) : "No image has a value of both methods.";
  find("#charts").hidden = !points.length;
  if (points.length) {
    const [differences, pairs] = findAll("#charts .chart");
    const title = `${name}: ${methods[1]} minus ${methods[0]}`;
    find("#charts figcaption").textContent = title;
    drawHistogram(differences, points.map(({ x, y }) => y - x), title);
    drawScatter(pairs, points, ...methods, ({ image }) => openComparison(image, methods[1]));
  }
  showValueTable(found, measure);
}

function showValueTable(found, measure) {
  const methods = findAll("option", pairChoices[1]).map((option) => option.value);
  const body = find("#value-table tbody");
  const ordered = state.measure < 0 ? found : inOrder(found);
  body.replaceChildren(...ordered.slice(0, MAX_ROWS).map((image) => createValueRow(image, measure, methods)));
  find("#more-values").hidden = ordered.length <= MAX_ROWS;
}

function createValueRow(image, measure, methods) {
  const name = createElement("th", { scope: "row", textContent: image.name, title: image.name });
  name.dataset.key = image.name.toLowerCase();
  const cells = methods.map((method) => {
    const value = valueOf(image, measure, method);
    const button = createElement("button", { type: "button", textContent: printNumber(value) });
    button.addEventListener("click", () => openComparison(image, method));
    const cell = createElement("td", {}, button);
    cell.dataset.key = value ?? "";
    return cell;
  });
  return createElement("tr", {}, name, ...cells);
}

// -- mean curves ----------------------------------------------------------------------------------------------------

function showCurves(box) {
  const set = JSON.parse(box.dataset.curves);
  const picked = JSON.parse(box.dataset.highlighted);
  const draw = () => drawCurves(find(".chart", box), set, picked);
  const legend = Object.keys(set.means).map((method) => {
    const button = createElement("button", { type: "button", textContent: method });
    const mark = () => {
      const number = picked.indexOf(method);
      button.className = number < 0 ? "" : `series-${number}`;
      button.setAttribute("aria-pressed", String(number >= 0));
    };
    button.addEventListener("click", () => {
      const number = picked.indexOf(method);
      const free = picked.indexOf(null);
      if (number >= 0) picked[number] = null;
      else if (free >= 0) picked[free] = method;
      else if (picked.length < SERIES) picked.push(method);
      else picked[SERIES - 1] = method;
      find(".legend", box).dispatchEvent(new Event("change"));
      draw();
    });
    find(".legend", box).addEventListener("change", mark);
    mark();
    return button;
  });
  find(".legend", box).replaceChildren(...legend);
  draw();
}
