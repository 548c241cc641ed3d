// -- values beside the pointer in the curves of trust cards, whose vertical axes end at the largest value -----------

const tip = find("#tip");

function describeCurves(svg, clientX) {
  const caption = find("figcaption", svg.parentElement);
  const top = Number(/0 to ([\d.e-]+)/.exec(caption.textContent)?.[1] ?? 1);
  const names = findAll(".key", caption).map((key) => key.textContent.trim());
  const { left, width } = svg.getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (clientX - left) / width));
  const rows = findAll("polyline", svg).map((line, index) => {
    const points = line.getAttribute("points").split(" ");
    const height = Number(points[Math.round(share * (points.length - 1))].split(",")[1]);
    return `${printNumber(top * (1 - height / 72))}  ${names[index]}`;
  });
  return [`${Math.round(100 * share)} % of the axis`, ...rows].join("\n");
}

addEventListener("pointermove", ({ target, clientX, clientY }) => {
  const svg = target instanceof Element ? target.closest(".curve > svg") : null;
  tip.hidden = !svg;
  if (!svg) return;
  // a modal dialog hides what is outside of it
  const place = svg.closest("dialog") ?? document.body;
  if (tip.parentElement !== place) place.append(tip);
  tip.textContent = describeCurves(svg, clientX);
  const left = Math.min(clientX + 14, innerWidth - tip.offsetWidth - 8);
  tip.style.translate = `${Math.max(4, left)}px ${Math.min(clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
});
document.addEventListener("pointerleave", () => { tip.hidden = true; });
