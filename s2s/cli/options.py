"""What several verbs share: choices, arguments, the console."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


class Device(StrEnum):
    """Where a model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    """What a model that answers multiplies in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"


RunsArgument = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)]
ToOption = Annotated[
    str | None,
    typer.Option(metavar="LANG", help="Language to translate to, of a run with text.tags; its first if left out."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where it runs; auto takes a GPU where there is one.")]

PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        help="Of the products: float32 if left out; int8: of the output layer, beside bfloat16; auto: bfloat16 where"
        " the hardware multiplies it.",
        show_default=False,
    ),
]


def make_console() -> Console:
    """Standard error."""
    from s2s.build.say import make_console

    return make_console()
