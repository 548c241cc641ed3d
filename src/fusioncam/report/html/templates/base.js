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
