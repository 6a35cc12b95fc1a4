"""The server under load: `python benchmarks/serving.py RUN TEXTS`, clients in this process, the server in another.

Each answer is compared with that of `s2s translate` for the same text. What is found: throughput beside `s2s translate`
(batch 64, the same cores) with the times that clients wait, an overloaded server's refusals, the growth of its memory,
SIGHUP and SIGTERM under load, and what the server adds to the time of one sentence in process.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import measure
import typer

from s2s.session import load

S2S = [sys.executable, "-m", "s2s"]
BLOCKS = 5
"""Of each side, where one sentence is timed."""
Count = Annotated[int, typer.Option(min=1)]


@dataclass
class Tally:
    """What clients saw: seconds of the answers (200); how many had each status, were wrong, or never came."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    unanswered: int = 0
    without_retry_after: int = 0

    def figures(self) -> dict[str, object]:
        cuts = statistics.quantiles(self.seconds, n=100) if len(self.seconds) > 1 else [float("nan")] * 99
        return {
            "statuses": dict(sorted(self.statuses.items())),
            "wrong": self.wrong,
            "unanswered": self.unanswered,
            "refused_without_retry_after": self.without_retry_after,
            **{f"p{part}_ms": round(1000 * cuts[part - 1], 1) for part in (50, 95, 99)},
        }


class Client(asyncio.Protocol):
    """One connection that is kept, as thin as it can be: the load shares the machine with the server."""

    LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._come = bytearray()
        self._size = 0  # of the answer, once that is known
        self._answer: asyncio.Future[bytes] | None = None

    async def ask(self, request: bytes) -> bytes:
        """The answer as it comes. Raises OSError or EOFError without one."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        self._answer = loop.create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._come += data
        if not self._size and (head := self._come.find(b"\r\n\r\n") + 4) > 3:
            found = self.LENGTH.search(self._come, 0, head)
            assert found is not None
            self._size = head + int(found[1])
        if self._size and len(self._come) >= self._size:
            answer, self._come, self._size = bytes(self._come), bytearray(), 0
            assert self._answer is not None
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or EOFError())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True)
class Texts:
    """What is asked in a direction, and what `s2s translate` answers."""

    asked: Sequence[str]
    expected: Sequence[str]
    pair: tuple[str, str]

    def requests(self) -> list[bytes]:
        """Each text as a client sends it."""
        bodies = [
            json.dumps({"q": text, "source": self.pair[0], "target": self.pair[1]}).encode() for text in self.asked
        ]
        head = "POST /translate HTTP/1.1\r\nHost: s2s\r\nContent-Type: application/json\r\nContent-Length: "
        return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


def translation(answer: bytes) -> str | None:
    """What an answer of 200 says."""
    _, _, body = answer.partition(b"\r\n\r\n")
    found: str | None = json.loads(body).get("translatedText")
    return found


def until(seconds: float) -> Callable[[int], bool]:
    end = time.perf_counter() + seconds
    return lambda _: time.perf_counter() < end


async def load_up(
    port: int, texts: Texts, *, clients: int, going: Callable[[int], bool], during: Awaitable[None] | None = None
) -> Tally:
    """Clients that ask one text after the other as long as `going(number of the request)`. What they were told is
    looked at afterwards: meanwhile they share the cores with the server.
    """
    tally, count, requests = Tally(), 0, texts.requests()
    told: list[tuple[int, bytes]] = []

    async def one() -> None:
        nonlocal count
        client = Client(port)
        while going(count):
            number, count = count % len(requests), count + 1
            start = time.perf_counter()
            try:
                answer = await client.ask(requests[number])
            except (OSError, EOFError):
                tally.unanswered += 1
                break
            seconds, status = time.perf_counter() - start, int(answer[9:12])
            tally.statuses[status] += 1
            if status == 200:
                tally.seconds.append(seconds)
                told.append((number, answer))
            else:
                tally.without_retry_after += b"\r\nretry-after:" not in answer.lower()
                await asyncio.sleep(0.05)
        client.close()

    await asyncio.gather(*(one() for _ in range(clients)), *([during] if during else []))
    tally.wrong = sum(translation(answer) != texts.expected[number] for number, answer in told)
    return tally


@contextmanager
def server(run: Path, *keys: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`s2s serve RUN` and its port; SIGTERM at the end, which must end it well."""
    command = [*S2S, "serve", str(run), "--port", "0", *keys]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r":(\d+) ", process.stderr.readline())
            assert found is not None
            yield process, int(found[1])
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, process.stderr.read()
        finally:
            process.kill()


def resident(process: subprocess.Popen[str]) -> int:
    """Bytes that a process holds."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def copy_of(run: Path, beam: int, folder: Path) -> Path:
    """What of a run is needed to answer, with another beam."""
    other = folder / f"beam-{beam}"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("checkpoints", "best", "plots", "*.jsonl"))
    config = other / "config.toml"
    changed = re.sub(r"(?m)^beam = \d+", f"beam = {beam}", config.read_text(encoding="utf-8"), count=1)
    config.write_text(changed, encoding="utf-8")
    return other


def offline(run: Path, texts: Sequence[str], folder: Path) -> tuple[list[str], float]:
    """Answers of `s2s translate` at batch 64, and texts a second without what starting takes: the median of three."""
    seconds = []
    for _ in range(3):
        start, _ = _answered(run, texts[:1], folder)
        whole, answers = _answered(run, texts, folder)
        seconds.append(whole - start)
    return answers, (len(texts) - 1) / statistics.median(seconds)


def _answered(run: Path, texts: Sequence[str], folder: Path) -> tuple[float, list[str]]:
    """Seconds of a whole command, and its answers."""
    asked, told = folder / "asked", folder / "answers"
    asked.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    start = time.perf_counter()
    words = ["-i", str(asked), "-o", str(told), "--batch-size", "64"]
    subprocess.run([*S2S, "translate", str(run), *words], check=True)
    return time.perf_counter() - start, told.read_text(encoding="utf-8").splitlines()


async def throughput(run: Path, texts: Texts, clients: int, seconds: float) -> dict[str, object]:
    with server(run) as (process, port):
        await load_up(port, texts, clients=clients, going=lambda number: number < 2 * clients)  # warm
        start = time.perf_counter()
        tally = await load_up(port, texts, clients=clients, going=until(seconds))
        rate = len(tally.seconds) / (time.perf_counter() - start)
        return {"texts_per_second": round(rate, 2), **tally.figures(), "resident": resident(process)}


async def overload(run: Path, texts: Texts, clients: int, seconds: float) -> dict[str, object]:
    with server(run, "serve.queue_limit=4", "serve.batch_lines=4") as (_, port):
        return (await load_up(port, texts, clients=clients, going=until(seconds))).figures()


async def growth(run: Path, texts: Texts, clients: int, requests: int) -> dict[str, object]:
    """Resident memory after a tenth of the requests, and after all of them."""
    with server(run) as (process, port):
        await load_up(port, texts, clients=clients, going=lambda number: number < requests // 10)
        before = resident(process)
        tally = await load_up(port, texts, clients=clients, going=lambda number: number < requests)
        after = resident(process)
        return {**tally.figures(), "before": before, "after": after, "growth": round(after / before - 1, 4)}


async def hang_up(run: Path, texts: Texts, clients: int, seconds: float) -> dict[str, object]:
    """The model's file replaced and SIGHUP sent, several times under load."""
    with server(run) as (process, port):

        async def replace() -> None:
            for _ in range(3):
                await asyncio.sleep(seconds / 4)
                beside = run / "model.new"
                shutil.copyfile(run / "model.safetensors", beside)
                beside.rename(run / "model.safetensors")
                process.send_signal(signal.SIGHUP)

        return (await load_up(port, texts, clients=clients, going=until(seconds), during=replace())).figures()


async def terminate(run: Path, texts: Texts, clients: int, seconds: float) -> dict[str, object]:
    """SIGTERM under load: what was sent before must be answered; clients stop with the first refusal or closed door."""
    with server(run) as (process, port):
        sent = 0.0

        async def end() -> None:
            nonlocal sent
            await asyncio.sleep(seconds)
            sent = time.perf_counter()
            process.send_signal(signal.SIGTERM)

        tally = await load_up(port, texts, clients=clients, going=lambda _: not sent, during=end())
        await asyncio.to_thread(process.wait, 60)
        return {**tally.figures(), "seconds_to_end": round(time.perf_counter() - sent, 2)}


async def latency(run: Path, texts: Texts, rounds: int) -> dict[str, object]:
    """One sentence of about 12 words: by this process and by the server, in blocks that take turns, since the machine's
    speed drifts. After each block comes a pause: the threads of this process's model look for work for a while, on the
    cores that the server needs.
    """
    number = min(range(len(texts.asked)), key=lambda number: abs(len(texts.asked[number].split()) - 12))
    text, request = texts.asked[number], texts.requests()[number]
    translator = load(run)

    async def inside() -> None:
        translator.translate([text])

    with server(run) as (_, port):
        client = Client(port)

        async def outside() -> None:
            assert translation(await client.ask(request)) is not None

        ours, theirs = [], []
        for _ in range(BLOCKS):
            ours.append(await _milliseconds(inside, rounds // BLOCKS))
            theirs.append(await _milliseconds(outside, rounds // BLOCKS))
        client.close()
    return {
        "words": len(text.split()),
        "in_process_p50_ms": round(statistics.median(ours), 2),
        "server_p50_ms": round(statistics.median(theirs), 2),
        "added_ms": round(statistics.median(b - a for a, b in zip(ours, theirs, strict=True)), 2),
    }


async def _milliseconds(answer: Callable[[], Awaitable[None]], count: int) -> float:
    """The median of one block."""
    await asyncio.sleep(0.5)
    times = []
    for _ in range(count + 3):
        start = time.perf_counter()
        await answer()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[3:])


def read(path: Path) -> list[str]:
    """The texts of a file, which may be gzipped."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def main(
    run: Annotated[Path, typer.Argument(help="A run directory of a translation model.")],
    file: Annotated[Path, typer.Argument(help="Texts in its source language, one a line; may be gzipped.")],
    clients: Count = 64,
    seconds: Annotated[float, typer.Option(help="Of the load; the other scenes take a tenth to a third of it.")] = 60.0,
    requests: Annotated[int, typer.Option(help="Of the scene that looks at memory.")] = 20_000,
    rounds: Annotated[int, typer.Option(help="Of the scene that looks at one sentence.")] = 50,
    beam: Annotated[int, typer.Option(min=1, help="Of all scenes but the last, which takes 1 and 5.")] = 1,
    most: Annotated[int, typer.Option(min=2, help="Texts of the file that are used.")] = 1000,
    output: Annotated[Path | None, typer.Option(help="A JSON file for all of it.")] = None,
) -> None:
    """Load a server and say what its clients saw."""
    translator = load(run)
    result = {**measure.facts("cpu"), "run": translator.name, "clients": clients, "beam": beam, "seconds": seconds}
    pair, asked = (translator.source_lang, translator.target_lang), read(file)[:most]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copies = {width: copy_of(run, width, folder) for width in {beam, 1, 5}}
        own = copies[beam]
        expected, rate = offline(own, asked, folder)
        texts = Texts(asked, expected, pair)
        found: dict[str, object] = {"offline_texts_per_second": round(rate, 2)}
        scenes: dict[str, Coroutine[Any, Any, dict[str, object]]] = {
            "load": throughput(own, texts, clients, seconds),
            "overload": overload(own, texts, clients, seconds / 10),
            "sighup": hang_up(own, texts, clients, seconds / 3),
            "sigterm": terminate(own, texts, clients, seconds / 10),
            "memory": growth(own, texts, clients, requests),
            **{f"one_sentence_beam_{width}": latency(copies[width], texts, rounds) for width in (1, 5)},
        }
        for scene, play in scenes.items():
            found[scene] = asyncio.run(play)
            print(f"{scene}: {json.dumps(found[scene])}", file=sys.stderr)
    print(json.dumps(found, indent=1))
    if output:
        measure.write(output, result | found)


if __name__ == "__main__":
    typer.run(main)
