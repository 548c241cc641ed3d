// -- charts, drawn by ECharts --------------------------------------------------------------------------------------

const INK = { color: "var(--quiet)", fontSize: 11, fontFamily: "system-ui, sans-serif" };
const LINE = { lineStyle: { color: "var(--line)" } };
const DASHED = { type: "dashed", width: 1, color: "var(--quiet)" };

const resizing = new ResizeObserver((entries) => entries.forEach(({ target }) => {
  echarts.getInstanceByDom(target)?.resize();
}));

function createAxis(name, nameGap, more) {
  return {
    type: "value", name, nameLocation: "middle", nameGap, nameTextStyle: { ...INK, color: "var(--ink)", fontSize: 12 },
    nameTruncate: { maxWidth: 240 }, axisLine: { show: false }, axisTick: { show: false }, splitLine: LINE,
    axisLabel: { ...INK, formatter: printNumber }, ...more,
  };
}

// an axis from one value to another, which are labelled only if they are round numbers of their own
function createFixedAxis(name, nameGap, [min, max]) {
  const ends = { showMinLabel: false, showMaxLabel: false };
  const axis = createAxis(name, nameGap, { min, max, splitLine: { ...LINE, showMinLine: false, showMaxLine: false } });
  return { ...axis, axisLabel: { ...axis.axisLabel, ...ends } };
}

function drawLine(from, to) {
  const data = [[{ coord: from }, { coord: to }]];
  return { silent: true, symbol: "none", animation: false, label: { show: false }, lineStyle: DASHED, data };
}

// draws into a box that it keeps for the next values; a tooltip's text is a function of what is under the pointer
function drawChart(box, label, { x, y, series, trigger, textOf, onClick }) {
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", label);
  let chart = echarts.getInstanceByDom(box);
  if (!chart) {
    chart = echarts.init(box, null, { renderer: "svg" });
    resizing.observe(box);
  }
  chart.off("click");
  if (onClick) chart.on("click", onClick);
  chart.setOption({
    animation: false, textStyle: INK, grid: { left: 58, right: 14, top: 12, bottom: 46 }, xAxis: x, yAxis: y, series,
    tooltip: {
      trigger, className: "chart-tip", confine: true, transitionDuration: 0, backgroundColor: "var(--raised)",
      borderColor: "var(--line)", padding: [6, 10], textStyle: { ...INK, color: "var(--ink)", fontSize: 13 },
      extraCssText: "border-radius: 8px; white-space: pre-line; font-variant-numeric: tabular-nums",
      axisPointer: { type: "line", lineStyle: { ...DASHED, type: "solid" } },
      formatter: (under) => createElement("span", { textContent: textOf(under) }),
    },
  }, true);
}

// -- three kinds --------------------------------------------------------------------------------------------------

function countDifferences(differences) {
  const largest = Math.max(...differences.map(Math.abs)) || 1;
  const bins = Math.max(6, Math.min(24, 2 * Math.round(Math.sqrt(differences.length))));
  const width = (2 * largest) / bins;
  const counts = Array(bins).fill(0);
  differences.forEach((value) => { counts[Math.min(bins - 1, Math.floor((value + largest) / width))] += 1; });
  return { largest, width, bars: counts.map((count, index) => [(index + 0.5) * width - largest, count]) };
}

function drawHistogram(box, differences, title) {
  const { largest, width, bars } = countDifferences(differences);
  const highest = Math.max(...bars.map(([, count]) => count));
  drawChart(box, `histogram of paired differences, ${title}`, {
    x: createFixedAxis("difference", 28, [-largest, largest]),
    y: createAxis("images", 40, { minInterval: 1 }),
    series: {
      type: "bar", data: bars, barWidth: "96%", itemStyle: { color: "var(--series-1)" },
      emphasis: { itemStyle: { color: "var(--accent)" } }, markLine: drawLine([0, 0], [0, highest]),
    },
    trigger: "item",
    textOf: ({ value: [middle, count] }) => {
      const range = `${printNumber(middle - width / 2)} to ${printNumber(middle + width / 2)}`;
      return `${range}: ${count} of ${differences.length} images`;
    },
  });
}

function drawScatter(box, points, xLabel, yLabel, onClick) {
  const all = points.flatMap(({ x, y }) => [x, y]);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = (high - low || Math.abs(high) || 1) * 0.04;
  const range = [low - room, high + room];
  drawChart(box, `values of two methods, a point for each image: ${yLabel} over ${xLabel}`, {
    x: createFixedAxis(xLabel, 28, range),
    y: createFixedAxis(yLabel, 40, range),
    series: {
      type: "scatter", data: points.map(({ x, y }) => [x, y]), symbolSize: 9, cursor: "pointer",
      itemStyle: { color: "var(--series-1)", opacity: 0.65, borderColor: "var(--page)" },
      emphasis: { itemStyle: { color: "var(--accent)", opacity: 1 } },
      markLine: drawLine([range[0], range[0]], [range[1], range[1]]),
    },
    trigger: "item",
    textOf: ({ dataIndex }) => points[dataIndex].text,
    onClick: ({ dataIndex }) => onClick(points[dataIndex]),
  });
}

// `highlighted` methods have a colour, by their position
function drawCurves(box, set, highlighted) {
  const series = Object.entries(set.means).map(([name, means]) => {
    const number = highlighted.indexOf(name);
    const [z, width, color] = number < 0 ? [2, 1.2, "var(--series)"] : [3, 2.2, `var(--series-${number})`];
    return {
      type: "line", name, data: means.map((mean, index) => [set.x[index], mean]), showSymbol: false,
      lineStyle: { width, color }, z, emphasis: { disabled: true },
    };
  });
  drawChart(box, set.title, {
    x: createAxis(set.x_label, 28, { min: set.x[0], max: set.x.at(-1) }),
    y: createAxis(set.y_label, 40, { scale: true }),
    series,
    trigger: "axis",
    textOf: (under) => {
      const rows = [...under].sort((a, b) => b.value[1] - a.value[1]);
      const heading = `${set.x_label}: ${printNumber(under[0].value[0])}`;
      return [heading, ...rows.map(({ value, seriesName }) => `${printNumber(value[1])}  ${seriesName}`)].join("\n");
    },
  });
}
