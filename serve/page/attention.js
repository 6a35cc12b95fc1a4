// The map under the answer: point at a word of the translation to see which words of the text the model looked at.

import { post } from "./api.js";
import { $, kept, make, turnstile } from "./dom.js";

const LONGEST = 2000; // characters that the server maps
const HINT = "Point at a word of the translation, or walk over the words below with the arrow keys, to see which words of the text the model looked at.";
const requests = turnstile();
let wanted = null; // what to ask for, when the map is open
let words = []; // of the translation: { answer, button, sources, weights, label }

export function startAttention() {
  $("attention").open = kept.get("attention", "open") === "open";
  $("attention").addEventListener("toggle", () => {
    kept.set("attention", $("attention").open ? "open" : "closed");
    ask();
  });
  for (const place of [$("answer"), $("attention-map")]) {
    place.addEventListener("pointerover", (event) => mark(event.target.dataset.word));
    place.addEventListener("pointerleave", () => mark());
    place.addEventListener("click", (event) => mark(event.target.dataset.word));
  }
  $("attention-map").addEventListener("focusin", (event) => mark(event.target.dataset.word));
  $("attention-map").addEventListener("focusout", () => mark());
  $("attention-map").addEventListener("keydown", walk);
  blank();
}

/** Nothing to look at. */
export function blank() {
  requests.stop();
  [wanted, words] = [null, []];
  $("attention-map").replaceChildren();
  $("attention-hint").textContent = HINT;
  $("attention").hidden = true;
}

/** `request`: q, source, target and its translation, which stands in the answer. */
export function look(request) {
  blank();
  wanted = request;
  $("attention").hidden = false;
  ask();
}

async function ask() {
  if (!wanted || !$("attention").open) return;
  const request = wanted;
  wanted = null;
  if (Math.max(request.q.length, request.translation.length) > LONGEST) return say("The text is too long for a map.");
  try {
    const { sentences } = await post("attention", request, requests.next());
    if (sentences.length) draw(sentences, request);
    else say("This model has nothing to show.");
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  }
}

const say = (message) => ($("attention-hint").textContent = message);

function draw(sentences, { source, target }) {
  const map = sentences.map((sentence) => {
    const sources = sentence.source.map((word) => make("span", { className: "word", textContent: word }));
    const buttons = sentence.target.map((word, row) => {
      const button = make("button", { type: "button", className: "word", textContent: word, tabIndex: -1 });
      button.dataset.word = words.length;
      const label = labelOf(word, sentence.source, sentence.weights[row]);
      button.setAttribute("aria-label", label);
      words.push({ text: word, button, sources, weights: sentence.weights[row], label });
      return button;
    });
    return make("div", { className: "sentence" }, line("Translation", target, buttons), line("Text", source, sources));
  });
  if (words.length) words[0].button.tabIndex = 0;
  $("attention-map").replaceChildren(...map);
  wrap($("answer"));
}

function line(name, lang, pieces) {
  const found = make("div", { className: "line", lang, dir: "auto" }, ...pieces);
  found.setAttribute("role", "group");
  found.setAttribute("aria-label", name);
  return found;
}

function labelOf(word, sources, weights) {
  const best = weights.map((weight, place) => [weight, sources[place]]).sort((one, other) => other[0] - one[0]);
  const told = best.slice(0, 3).filter(([weight], place) => place === 0 || weight >= 0.05);
  return `${word} ← ${told.map(([weight, source]) => `${source} ${Math.round(100 * weight)} %`).join(", ")}`;
}

/** The answer's own words become places to point at; its text stays what it is. */
function wrap(answer) {
  const text = answer.textContent;
  const nodes = [];
  let end = 0;
  words.forEach((word, number) => {
    const start = text.indexOf(word.text, end);
    if (start < 0) return;
    word.answer = make("span", { className: "word", textContent: word.text });
    word.answer.dataset.word = number;
    nodes.push(text.slice(end, start), word.answer);
    end = start + word.text.length;
  });
  answer.replaceChildren(...nodes, text.slice(end));
}

function mark(number) {
  for (const { answer, button, sources } of words) {
    for (const one of [answer, button]) one?.classList.remove("on");
    for (const one of sources) one.style.removeProperty("--weight");
  }
  const word = words[number];
  if (!word) return words.length && say(HINT);
  for (const one of [word.answer, word.button]) one?.classList.add("on");
  word.sources.forEach((one, place) => one.style.setProperty("--weight", `${Math.round(100 * word.weights[place])}%`));
  say(word.label);
}

/** One stop of the tab key for all words; arrows go from word to word. */
function walk(event) {
  const here = Number(event.target.dataset.word);
  const last = words.length - 1;
  const next = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
  if (next === undefined || Number.isNaN(here)) return;
  event.preventDefault();
  words[here].button.tabIndex = -1;
  const { button } = words[Math.min(Math.max(next, 0), last)];
  button.tabIndex = 0;
  button.focus();
}
