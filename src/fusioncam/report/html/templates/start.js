// -- start ------------------------------------------------------------------------------------------------------------

if (gallery) {
  connectTools();
  connectDialog();
  pairChoices.forEach((select) => select.addEventListener("change", () => showValues(images.filter(isFound))));
  nameOrders();
  showPage();
}
findAll(".curves").forEach(showCurves);
findAll("tr[data-item]").forEach((row) => row.addEventListener("click", () => {
  openComparison(images[Number(row.dataset.item)], row.dataset.method);
}));

// print everything that is folded, except for the figures of trust cards
addEventListener("beforeprint", () => findAll("details:not(.figures)").forEach((part) => { part.open = true; }));
