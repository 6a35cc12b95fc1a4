// The server's answers, and its refusals in words. Paths are relative, so the page also works behind a prefix.

const NAME = "s2s-key";
let key = "";
try { key = sessionStorage.getItem(NAME) ?? ""; } catch { /* storage is off: a key lasts until the page is left */ }

export function setKey(value) {
  key = value.trim();
  try { sessionStorage.setItem(NAME, key); } catch { /* the same */ }
}

export const hasKey = () => key !== "";

/** What the server, or the way to it, said no with. `aboutKey`: the key is missing or wrong. */
export class Refused extends Error {
  constructor(message, status = 0) {
    super(message);
    this.aboutKey = status === 401 || status === 403;
  }
}

async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server can't be reached. Is it still running?");
  }
  if (!reply.ok) throw new Refused(await reason(reply), reply.status);
  return reply;
}

async function reason(reply) {
  const { error } = await reply.json().catch(() => ({}));
  const message = (error?.message ?? error ?? `The server answered ${reply.status}`).replace(/^Invalid request: /, "");
  const wait = reply.headers.get("Retry-After");
  return message.replace(/\.?$/, ".") + (wait ? ` Try again in ${wait} s.` : "");
}

function sent(body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  return { method: "POST", headers, body: JSON.stringify(body), signal };
}

export const get = async (path) =>
  (await ask(path, key ? { headers: { Authorization: `Bearer ${key}` } } : {})).json();

export const post = async (path, body, signal) =>
  (await ask(path, sent(key ? { ...body, api_key: key } : body, signal))).json();

/** The data of each server-sent event of a reply, until the mark of the end. */
export async function* stream(path, body, signal) {
  const reply = await ask(path, sent(body, signal));
  let rest = "";
  for await (const piece of pieces(reply.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + piece).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

async function* pieces(readable) { // not every browser lets one loop over a stream
  const reader = readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}
