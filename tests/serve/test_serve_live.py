"""The server over a real socket: the unmodified client, many clients at once, signals, ports."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from libretranslatepy import LibreTranslateAPI
from serve_stub import Reversing
from serve_tools import program

from s2s.errors import UserError
from s2s.serve.app import run
from s2s.serve.listen import is_loopback, open_socket, url_of

GUIDE = Path(__file__).parents[2] / "docs" / "serving.md"


def test_libretranslatepy(live_url: str) -> None:
    api = LibreTranslateAPI(live_url, api_key="unused")
    assert api.translate("guten Tag & 1+1 = 2 €", "en", "de") == "€ 2 = 1+1 & Tag guten"
    assert api.translate("a b", "auto", "de") == "b a"
    assert api.languages() == [{"code": "en", "name": "English", "targets": ["de"]}]
    with pytest.raises(urllib.error.HTTPError) as caught:
        api.translate("a", "zz", "de")
    assert (caught.value.code, json.load(caught.value)) == (400, {"error": "zz is not supported"})
    caught.value.close()


def test_the_guide_speaks_the_truth(live_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(example.replace("http://127.0.0.1:5000", live_url))
    assert capsys.readouterr().out.split() == ["house", "the", "[{'code':", "'en',", "'name':", "'English',",
                                               "'targets':", "['de']}]"]  # fmt: skip


def test_answers_to_many_clients_are_not_mixed_up(live_url: str) -> None:
    def ask(client: int) -> bool:
        api = LibreTranslateAPI(live_url)
        return all(api.translate(f"{client} x {k}", "en", "de") == f"{k} x {client}" for k in range(25))

    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(ask, range(8))) == [True] * 8


@pytest.mark.parametrize("size", [100_001, 390_000])
def test_a_client_that_sends_too_much_still_reads_why(live_url: str, size: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        LibreTranslateAPI(live_url).translate("x" * size, "en", "de")
    assert (caught.value.code, "larger than 100000" in json.load(caught.value)["error"]) == (413, True)
    caught.value.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_success(number: signal.Signals) -> None:
    with program("127.0.0.1", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert LibreTranslateAPI(url).translate("a b", "en", "de") == "b a"
        process.send_signal(number)
        out, said = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "stopped\n")
    assert said == f"Listening on {url} (Ctrl-C stops)\n"


def test_a_request_under_way_is_finished() -> None:
    with program("127.0.0.1", "0") as process, ThreadPoolExecutor(1) as client:
        assert process.stdout is not None
        api = LibreTranslateAPI(process.stdout.readline().strip())
        answer = client.submit(api.translate, "slow\na b", "en", "de")
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGTERM)
        assert answer.result(20) == "slow\nb a"
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_fault_is_in_the_log_on_standard_error() -> None:
    with program("127.0.0.1", "0") as process:
        assert process.stdout is not None
        with pytest.raises(urllib.error.HTTPError) as caught:
            LibreTranslateAPI(process.stdout.readline().strip()).translate("crash", "en", "de")
        caught.value.close()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert caught.value.code == 500
    assert "POST /translate failed" in said
    assert "ValueError: secret detail" in said


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ("OPTIONS * HTTP/1.1", 404, "Not found: *"),
        ("GET //%ff%00 HTTP/1.1", 404, "Not found: //\ufffd\0"),
        ("BREW /translate HTTP/1.1", 405, "BREW is not allowed for /translate; use POST"),
    ],
)
def test_odd_request_lines(live_url: str, line: str, status: int, error: str) -> None:
    host, port = live_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        with connection.makefile("rb") as reply:
            head, _, body = reply.read().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body) == {"error": error}


def test_another_host_than_loopback_is_warned_of() -> None:
    with program("0.0.0.0", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert said.startswith("Warning: 0.0.0.0 can be reached from other machines")


def test_a_port_in_use_is_a_mistake_of_the_user() -> None:
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with program("127.0.0.1", str(port)) as process:
            _, said = process.communicate(timeout=20)
        assert process.returncode == 2
        assert said.startswith(f"Port {port} on 127.0.0.1 is in use by another program.")


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 65536, "The port is 65536; it must be 0"),
        ("127.0.0.1", -1, "The port is -1"),
        ("host.invalid", 0, "'host.invalid' is not an address of this machine"),
        ("x" * 80, 0, "is not an address of this machine"),
        ("192.0.2.1", 0, "Cannot listen on 192.0.2.1"),
    ],
)
def test_impossible_places(host: str, port: int, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        run([Reversing()], host=host, port=port)


def test_url_and_loopback() -> None:
    with open_socket("localhost", 0) as local, open_socket("0.0.0.0", 0) as everywhere:
        assert (is_loopback(local), is_loopback(everywhere)) == (True, False)
        assert url_of(local).startswith("http://127.0.0.1:")
        assert url_of(everywhere).startswith("http://127.0.0.1:")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_url_of_ipv6() -> None:
    try:
        listener = open_socket("::1", 0)
    except UserError:
        pytest.skip("no IPv6 loopback here")
    with listener:
        assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"
        assert is_loopback(listener)
