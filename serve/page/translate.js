// Translate as one types: languages, alternatives, a file, the answer.

import { Refused, post } from "./api.js";
import { blank, look, startAttention } from "./attention.js";
import { $, complain, kept, make, turnstile } from "./dom.js";

const AUTO = "auto";
const LARGEST_FILE = 1_000_000; // bytes
const requests = turnstile();
let languages = [];
let limit = -1;
let answered = null; // the request that the answer belongs to, with the language that was found

const text = () => $("text").value;
const source = () => ($("source").value === AUTO ? (answered?.source ?? AUTO) : $("source").value);

export function startTranslate(settings, served) {
  languages = served;
  limit = settings.charLimit;
  fillLanguages();
  $("alternatives").replaceChildren(...[0, 1, 2, 3].map((count) => make("option", { textContent: count })));
  $("alternatives").value = kept.get("alternatives", "0");
  listen(settings.frontendTimeout);
  startAttention();
  typed();
}

function fillLanguages() {
  const detect = languages.length > 1 ? [make("option", { value: AUTO, textContent: "Detect" })] : [];
  $("source").replaceChildren(...detect, ...languages.map((one) => option(one.code)));
  choose($("source"), kept.get("source"));
  fillTargets(kept.get("target"));
}

function fillTargets(wanted) {
  const one = languages.find((language) => language.code === $("source").value);
  const targets = one?.targets ?? [...new Set(languages.flatMap((language) => language.targets))];
  $("target").replaceChildren(...targets.map(option));
  choose($("target"), wanted);
  refreshSwap();
}

const nameOf = (code) => {
  const found = languages.find((one) => one.code === code)?.name;
  if (found) return found;
  try { return new Intl.DisplayNames(["en"], { type: "language" }).of(code); } catch { return code; }
};
const option = (code) => make("option", { value: code, textContent: nameOf(code) });

function choose(select, wanted) {
  if ([...select.options].some((one) => one.value === wanted)) select.value = wanted;
}

function listen(pause) {
  let timer = 0;
  $("text").addEventListener("input", () => {
    typed();
    clearTimeout(timer);
    timer = setTimeout(translate, pause);
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    clearTimeout(timer);
    translate();
  });
  $("source").addEventListener("change", () => (fillTargets($("target").value), chosen()));
  $("target").addEventListener("change", chosen);
  $("alternatives").addEventListener("change", chosen);
  $("swap").addEventListener("click", swap);
  $("clear").addEventListener("click", () => (put(""), $("text").focus()));
  $("file").addEventListener("change", openFile);
  $("copy").addEventListener("click", copy);
}

function chosen() {
  for (const id of ["source", "target", "alternatives"]) kept.set(id, $(id).value);
  refreshSwap();
  translate();
}

/** What can be said at once about the text that stands there now. */
function typed() {
  const size = [...text()].length;
  $("count").textContent = limit > -1 ? `${size} / ${limit}` : size ? String(size) : "";
  $("text").lang = $("source").value === AUTO ? "" : $("source").value;
}

function put(value) {
  $("text").value = value;
  typed();
  translate();
}

async function translate() {
  const signal = requests.next();
  if (!text().trim()) return clear();
  const asked = { q: text(), source: $("source").value, target: $("target").value };
  $("answer").setAttribute("aria-busy", "true");
  try {
    const alternatives = Number($("alternatives").value);
    const reply = await post("translate", { ...asked, ...(alternatives && { alternatives }) }, signal);
    answered = { ...asked, source: reply.detectedLanguage?.language ?? asked.source };
    complain();
    $("note").textContent = reply.detectedLanguage ? `Taken for ${nameOf(answered.source)}` : "";
    tell(reply.translatedText);
    offer([reply.translatedText, ...(reply.alternatives ?? [])]);
  } catch (error) {
    if (error.name === "AbortError") return; // the next request is under way
    clear();
    complain(error);
  }
  $("answer").removeAttribute("aria-busy");
}

/** Show a translation of what was asked. */
function tell(translation) {
  $("answer").textContent = translation;
  $("spoken").textContent = translation; // for screen readers: the answer itself is built anew when its words can be pointed at
  $("spoken").lang = answered.target;
  $("answer").lang = answered.target;
  $("copy").disabled = false;
  refreshSwap();
  look({ ...answered, translation });
}

function clear() {
  answered = null;
  for (const id of ["answer", "spoken", "note"]) $(id).textContent = "";
  $("answer").removeAttribute("aria-busy");
  $("copy").disabled = true;
  offer([]);
  blank();
  complain();
  refreshSwap();
}

/** All ways to say it; the one that is chosen becomes the answer. */
function offer(ways) {
  $("others").hidden = ways.length < 2;
  const buttons = ways.map((way, place) => {
    const button = make("button", { type: "button", className: "way", textContent: way, dir: "auto", lang: answered.target });
    button.setAttribute("aria-pressed", String(place === 0));
    button.addEventListener("click", () => {
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
      tell(way);
    });
    return button;
  });
  $("other-list").replaceChildren(...buttons.map((button) => make("li", {}, button)));
}

function refreshSwap() {
  const back = languages.find((one) => one.code === $("target").value);
  $("swap").disabled = !back?.targets.includes(source());
}

function swap() {
  const [from, to, said] = [source(), $("target").value, $("answer").textContent];
  $("source").value = to;
  fillTargets(from);
  $("text").value = said || text();
  typed();
  chosen();
}

async function openFile() {
  const [file] = $("file").files;
  $("file").value = "";
  if (!file) return;
  if (file.size > LARGEST_FILE) return complain(new Refused(`${file.name} is larger than 1 MB. Use s2s translate.`));
  try {
    put(new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()));
  } catch {
    complain(new Refused(`${file.name} is not a text in UTF-8.`));
  }
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("answer").textContent);
    $("note").textContent = "Copied";
  } catch { // no clipboard without TLS: select it, so that Ctrl+C does it
    getSelection().selectAllChildren($("answer"));
    $("note").textContent = "Selected: copy it with Ctrl+C";
  }
}
