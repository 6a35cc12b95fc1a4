// The frame: which views there are, the theme, the key.

import { get, hasKey, setKey } from "./api.js";
import { startChat } from "./chat.js";
import { $, complain, kept } from "./dom.js";
import { startTranslate } from "./translate.js";

const views = ["translate", "chat"];

function show() {
  const offered = views.filter((view) => !$(`to-${view}`).hidden);
  const wanted = location.hash.slice(1);
  const current = offered.includes(wanted) ? wanted : offered[0];
  for (const view of views) {
    $(view).hidden = view !== current;
    if (view === current) $(`to-${view}`).setAttribute("aria-current", "page");
    else $(`to-${view}`).removeAttribute("aria-current");
  }
  complain();
}

function startTheme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const tell = () => $("theme").setAttribute("aria-pressed", String(dark()));
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    kept.set("theme", root.dataset.theme);
    tell();
  });
  system.addEventListener("change", tell);
  tell();
}

/** Find out what is served. */
async function start() {
  const [settings, languages] = await Promise.all([get("frontend/settings"), get("languages")]);
  $("to-translate").hidden = languages.length === 0;
  if (languages.length) startTranslate(settings, languages);
  show();
  if (settings.keyRequired && !hasKey()) $("key-form").hidden = false;
  else await offerChat();
}

/** Models are listed for holders of a key alone, where keys are asked for. */
async function offerChat() {
  const { data: models } = await get("v1/models");
  $("to-chat").hidden = models.length === 0;
  if (models.length) startChat(models.map((model) => model.id));
  $("key-form").hidden = true;
  show();
}

startTheme();
addEventListener("hashchange", show);
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value);
  complain();
  offerChat().then(() => $("text").dispatchEvent(new Event("input"))).catch(complain);
});
start().catch(complain);
