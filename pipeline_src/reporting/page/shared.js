"use strict";

// What all scripts of the page share. They are one script in the page, in the order of __init__.py.

const parsed = {}; // data of the page by its id, so that none is parsed twice

function readData(id) {
  return (parsed[id] ??= JSON.parse(document.getElementById(id).textContent));
}

// A new element with properties and children; text among the children is never read as HTML.
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function decimals(value, digits) {
  return value.toFixed(digits);
}

function signed(value) {
  const digits = Math.abs(value).toFixed(2);
  return Number(digits) === 0 ? digits : `${value < 0 ? "−" : "+"}${digits}`;
}
