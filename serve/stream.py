"""A finished reply of the OpenAI dialect as the server-sent events of a streamed one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

WORD = re.compile(r"\S*\s*")


def events(reply: dict[str, Any], *, usage: bool) -> Iterator[str]:
    """A `chat.completion` as chunks: the role, the words, the reason for the end; with `usage`, its numbers; the mark.

    Joined, the words of a choice are its content. Each event ends in a blank line, the last one too.
    """
    shared = {key: reply[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    last = {"usage": None} if usage else {}

    def chunk(choices: list[dict[str, Any]], **more: Any) -> str:
        return f"data: {json.dumps({**shared, 'choices': choices, **last, **more}, ensure_ascii=False)}\n\n"

    for choice in reply["choices"]:
        index = choice["index"]
        for delta in _deltas(choice["message"]["content"]):
            yield chunk([{"index": index, "delta": delta, "finish_reason": None}])
        yield chunk([{"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}])
    if usage:
        yield chunk([], usage=reply["usage"])
    yield "data: [DONE]\n\n"


def _deltas(content: str) -> Iterator[dict[str, str]]:
    yield {"role": "assistant", "content": ""}
    yield from ({"content": word} for word in WORD.findall(content) if word)
