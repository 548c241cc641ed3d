"use strict";
const root = document.documentElement;
const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

// follows the system until the button is pressed
const systemDark = matchMedia("(prefers-color-scheme: dark)");
find("#theme").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
  root.dataset.theme = isDark ? "light" : "dark";
});

function createElement(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, attributes);
  element.append(...children);
  return element;
}

const printNumber = (value) => (value == null ? "–" : Number(value.toPrecision(3)).toString().replace("-", "\u2212"));

// -- text beside the pointer --------------------------------------------------------------------------------------

const tip = find("#tip");

function showTip(event, text) {
  // a modal dialog hides what is outside of it
  const place = event.target.closest?.("dialog") ?? document.body;
  if (tip.parentElement !== place) place.append(tip);
  tip.textContent = text;
  tip.hidden = !text;
  if (!text) return;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  tip.style.translate = `${Math.max(4, left)}px ${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
}

addEventListener("pointermove", (event) => {
  const element = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
  showTip(event, element?.tipOf?.(event) ?? element?.dataset.tip ?? "");
});
document.addEventListener("pointerleave", () => { tip.hidden = true; });
