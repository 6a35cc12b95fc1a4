// The few helpers that all parts of the page share.

import { Refused } from "./api.js";

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Say what went wrong, or nothing any more (no argument). A faulty key brings its field. */
export function complain(error) {
  if (error?.name === "AbortError") return;
  $("alert").textContent = error?.message ?? "";
  if (!error) return;
  if (!(error instanceof Refused)) console.error(error);
  if (error.aboutKey) $("key-form").hidden = false;
}

/** One request at a time: `next()` cancels the one before and gives the signal of the new one. */
export function turnstile() {
  let current = new AbortController();
  const stop = () => current.abort();
  return { stop, next: () => (stop(), (current = new AbortController()).signal) };
}

export const kept = {
  get: (name, otherwise) => { try { return localStorage.getItem(`s2s-${name}`) ?? otherwise; } catch { return otherwise; } },
  set: (name, value) => { try { localStorage.setItem(`s2s-${name}`, value); } catch { /* storage is off */ } },
};
