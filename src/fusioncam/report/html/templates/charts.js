// -- charts as SVG: axes, and values beside the pointer ------------------------------------------------------------

const CHART = { width: 460, height: 300, left: 52, right: 14, top: 12, bottom: 44 };

function createSvg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...children);
  return element;
}

// round numbers that divide a range into about five parts, at least a step apart
function ticksOf([low, high], step = 0) {
  const rough = Math.max((high - low) / 5, step) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const width = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const first = Math.ceil(low / width - 1e-9);
  const count = Math.floor(high / width + 1e-9) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, index) => Number(((first + index) * width).toPrecision(12)));
}

function rangeOf(values, margin = 0.04) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * margin;
  return [low - room, high + room];
}

function createChart(label, xRange, yRange, xLabel, yLabel, yStep = 0) {
  const { width, height, left, right, top, bottom } = CHART;
  const x = (value) => left + ((value - xRange[0]) / (xRange[1] - xRange[0])) * (width - left - right);
  const y = (value) => height - bottom - ((value - yRange[0]) / (yRange[1] - yRange[0])) * (height - top - bottom);
  const text = (content, attributes) => {
    const element = createSvg("text", attributes);
    element.textContent = content;
    return element;
  };
  const svg = createSvg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label });
  ticksOf(xRange).forEach((tick) => svg.append(
    createSvg("path", { class: "grid", d: `M${x(tick)} ${top}V${height - bottom}` }),
    text(printNumber(tick), { x: x(tick), y: height - bottom + 16, "text-anchor": "middle" }),
  ));
  ticksOf(yRange, yStep).forEach((tick) => svg.append(
    createSvg("path", { class: "grid", d: `M${left} ${y(tick)}H${width - right}` }),
    text(printNumber(tick), { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }),
  ));
  svg.append(
    text(xLabel, { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle", class: "label" }),
    text(yLabel, { x: 0, y: 0, "text-anchor": "middle", class: "label",
      transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)` }),
  );
  return { svg, x, y, xRange, yRange };
}

// -- three kinds --------------------------------------------------------------------------------------------------

function drawHistogram(differences, xLabel) {
  const largest = Math.max(...differences.map(Math.abs)) || 1;
  const bins = Math.max(6, Math.min(24, 2 * Math.round(Math.sqrt(differences.length))));
  const width = (2 * largest) / bins;
  const counts = Array(bins).fill(0);
  differences.forEach((value) => { counts[Math.min(bins - 1, Math.floor((value + largest) / width))] += 1; });
  const { svg, x, y } = createChart(
    "histogram of paired differences", [-largest, largest], [0, Math.max(...counts) * 1.06], xLabel, "images", 1,
  );
  counts.forEach((count, index) => {
    const from = -largest + index * width;
    const bar = createSvg("rect", {
      class: "bar", x: x(from) + 0.5, y: y(count), width: Math.max(0, x(from + width) - x(from) - 1),
      height: y(0) - y(count),
    });
    bar.dataset.tip = `${printNumber(from)} to ${printNumber(from + width)}: ${count} of ${differences.length} images`;
    svg.append(bar);
  });
  svg.append(createSvg("path", { class: "zero", d: `M${x(0)} ${CHART.top}V${y(0)}` }));
  return svg;
}

function drawScatter(points, xLabel, yLabel, onClick) {
  const range = rangeOf(points.flatMap((point) => [point.x, point.y]));
  const { svg, x, y } = createChart("values of two methods", range, range, xLabel, yLabel);
  svg.append(createSvg("path", { class: "zero", d: `M${x(range[0])} ${y(range[0])}L${x(range[1])} ${y(range[1])}` }));
  points.forEach((point) => {
    const dot = createSvg("circle", { class: "dot", cx: x(point.x), cy: y(point.y), r: 4.5 });
    dot.dataset.tip = point.text;
    dot.addEventListener("click", () => onClick(point));
    svg.append(dot);
  });
  return svg;
}

function drawCurves(set, highlighted) {
  const shown = Object.entries(set.means);
  const yRange = rangeOf(shown.flatMap(([, means]) => means));
  const { svg, x, y } = createChart(set.title, [set.x[0], set.x.at(-1)], yRange, set.x_label, set.y_label);
  const ordered = [...shown].sort(([a], [b]) => highlighted.indexOf(a) - highlighted.indexOf(b));
  ordered.forEach(([name, means]) => {
    const number = highlighted.indexOf(name);
    const points = means.map((mean, index) => `${x(set.x[index]).toFixed(1)},${y(mean).toFixed(1)}`).join(" ");
    svg.append(createSvg("polyline", { class: number < 0 ? "series" : `series series-${number}`, points }));
  });
  const cursor = createSvg("path", { class: "cursor" });
  const cover = createSvg("rect", {
    x: CHART.left, y: CHART.top, width: CHART.width - CHART.left - CHART.right,
    height: CHART.height - CHART.top - CHART.bottom, fill: "transparent",
  });
  cover.dataset.tip = "";
  cover.tipOf = (event) => {
    const { left, width } = cover.getBoundingClientRect();
    const index = Math.round(((event.clientX - left) / width) * (set.x.length - 1));
    cursor.setAttribute("d", `M${x(set.x[index])} ${CHART.top}V${CHART.height - CHART.bottom}`);
    const rows = shown.map(([name, means]) => [name, means[index]]).sort(([, a], [, b]) => b - a);
    const heading = `${set.x_label}: ${printNumber(set.x[index])}`;
    return [heading, ...rows.map(([name, mean]) => `${printNumber(mean)}  ${name}`)].join("\n");
  };
  svg.append(cursor, cover);
  return svg;
}
