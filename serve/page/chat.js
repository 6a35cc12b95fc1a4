// Talk to a run of dialogues: the conversation, its sampling controls.

import { stream } from "./api.js";
import { $, complain, make, turnstile } from "./dom.js";

const NUMBERS = { temperature: "temperature", "top-p": "top_p", seed: "seed" };
const requests = turnstile();
let turns = []; // { role, content }, oldest first
let started = false;

export function startChat(models) {
  $("model").replaceChildren(...models.map((name) => make("option", { textContent: name })));
  $("model-label").hidden = models.length < 2;
  if (started) return;
  started = true;
  $("say").addEventListener("submit", (event) => (event.preventDefault(), say($("turn").value.trim())));
  $("sampling").addEventListener("submit", (event) => event.preventDefault());
  $("reset").addEventListener("click", reset);
  $("model").addEventListener("change", reset);
}

function reset() {
  requests.stop();
  turns = [];
  $("log").replaceChildren();
  complain();
  $("turn").focus();
}

/** The sampling controls that were set; the others are as the run has them. */
function sampling() {
  const set = Object.entries(NUMBERS).filter(([id]) => $(id).value !== "");
  return Object.fromEntries(set.map(([id, name]) => [name, Number($(id).value)]));
}

async function say(content) {
  if (!content || !$("sampling").reportValidity() || $("log").ariaBusy === "true") return;
  const messages = [...turns, { role: "user", content }];
  const mine = bubble("user", content);
  const reply = bubble("assistant", "");
  $("turn").value = "";
  $("log").ariaBusy = "true";
  complain();
  const signal = requests.next();
  try {
    const body = { model: $("model").value, messages, stream: true, ...sampling() };
    for await (const event of stream("v1/chat/completions", body, signal)) {
      reply.lastChild.textContent += event.choices[0]?.delta.content ?? "";
      $("log").scrollTop = $("log").scrollHeight;
    }
    if (!signal.aborted) turns = [...messages, { role: "assistant", content: reply.lastChild.textContent }];
  } catch (error) {
    mine.remove();
    reply.remove();
    if (!signal.aborted) $("turn").value = content; // not said: it can be sent again
    complain(error);
  }
  $("log").ariaBusy = "false";
}

function bubble(role, content) {
  const who = make("span", { className: "unseen", textContent: role === "user" ? "You: " : "Model: " });
  const found = make("p", { className: `turn ${role}`, dir: "auto" }, who, make("span", { textContent: content }));
  $("log").append(found);
  $("log").scrollTop = $("log").scrollHeight;
  return found;
}
