"""`s2s chat`: a conversation in the terminal."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from s2s.cli.options import Device, DeviceOption


def chat(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN [search.key=value...]",
            help="A run of dialogues; then keys of [search], such as search.sample=true search.temperature=0.8.",
            show_default=False,
        ),
    ],
    candidates: Annotated[int, typer.Option(min=1, help="Replies shown, with scores; the first is what it said.")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="Of what is drawn: sampling, latent variables.")] = None,
    alone: Annotated[
        int | None, typer.Option("--self", min=1, metavar="N", help="It talks to itself, N turns; nothing is read.")
    ] = None,
    opening: Annotated[str | None, typer.Option(help="With --self: the turn it begins from.")] = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Talk to a model of dialogues. /reset or [DONE] begins anew, [EXIT] or the end of input leaves."""
    from s2s.build.chat import Talk, chat_verb

    talk = Talk(words=words, candidates=candidates, seed=seed, alone=alone, opening=opening, device=device.value)
    chat_verb(talk, sys.stdin, sys.stdout)
