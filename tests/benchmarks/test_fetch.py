"""Fetching over real sockets: servers with Range, that break off, with wrong content, and one that is not there."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from geor1.benchmarks import fetch as fetching
from geor1.benchmarks.catalogue import DATA_SETS, DataFile, DataSet
from geor1.benchmarks.fetch import LOCK_FILE, FetchError, fetch
from geor1.benchmarks.registry import BENCHMARKS, PAIR_LAYOUTS
from geor1.cli import main
from geor1.runs.errors import ConfigError

BODY = bytes(range(256)) * 400  # 102,400 bytes
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclasses.dataclass
class Behaviour:
    """What the server does; every request is noted."""

    body: bytes = BODY
    content_type: str = "application/octet-stream"
    tag: str = '"one"'
    ranges: bool = True
    cut_after: list[int] = dataclasses.field(default_factory=list)  # bytes of each answer before it breaks off
    status: list[int] = dataclasses.field(default_factory=list)  # error answers to give first
    asked: list[str | None] = dataclasses.field(default_factory=list)  # Range headers
    redirect: str = ""
    linked: str = ""  # what the answer that redirects /hub/a.bin to /a.bin announces
    url: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        do = self.behaviour
        wanted = self.headers.get("Range")
        do.asked.append(wanted)
        if do.status:
            self.send_error(do.status.pop(0))
            return
        if self.path.startswith("/hub/"):
            self.send_response(302)
            self.send_header("Location", do.url)
            self.send_header("X-Linked-Etag", do.linked)
            self.end_headers()
            return
        if do.redirect:
            self.send_response(302)
            self.send_header("Location", do.redirect)
            self.end_headers()
            return
        start = 0
        if do.ranges and wanted and self.headers.get("If-Range") == do.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(do.body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(do.body) - 1}/{len(do.body)}")
        if do.tag:
            self.send_header("ETag", do.tag)
        self.send_header("Content-Type", do.content_type)
        self.send_header("Content-Length", str(len(do.body) - start))
        self.end_headers()
        end = start + do.cut_after.pop(0) if do.cut_after else len(do.body)
        self.wfile.write(do.body[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Behaviour]:
    behaviour = Behaviour()
    handler = type("One", (Handler,), {"behaviour": behaviour})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        behaviour.url = f"http://127.0.0.1:{running.server_address[1]}/a.bin"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield behaviour
        running.shutdown()
        thread.join()


def toy(server: Behaviour, sha256: str | None = None, n_bytes: int | None = None) -> DataSet:
    file = DataFile("sub/a.bin", server.url, n_bytes, sha256)
    return DataSet("toy", "a toy", "CC0", "https://example.org/toy", files=(file,), by_hand="Unpack it.")


def get(data: DataSet, to: Path) -> tuple[Path, list[str]]:
    said: list[str] = []
    return fetch(data, to, accept_licence=True, say=said.append, pause_s=0.0), said


def test_whole_file_and_lock(server: Behaviour, tmp_path: Path) -> None:
    place, said = get(toy(server), tmp_path)
    assert place == tmp_path / "toy" and (place / "sub" / "a.bin").read_bytes() == BODY
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK_FILE, "toy"]
    assert [path.name for path in (place / "sub").iterdir()] == ["a.bin"]
    assert json.loads((tmp_path / LOCK_FILE).read_text()) == {"toy/sub/a.bin": SHA256}
    assert "licence: CC0 (https://example.org/toy)" in said[0] and said[-1] == "Unpack it."
    _, said = get(toy(server), tmp_path)
    assert len(server.asked) == 1 and any("already there and unchanged" in line for line in said)


def test_what_was_fetched_is_checked_afterwards(server: Behaviour, tmp_path: Path) -> None:
    place, _ = get(toy(server), tmp_path)
    (place / "sub" / "a.bin").write_bytes(BODY[:-1])
    with pytest.raises(FetchError, match="changed since it was fetched"):
        get(toy(server), tmp_path)
    (place / "sub" / "a.bin").unlink()
    with pytest.raises(FetchError, match=r"is missing though .* exists; rename that folder to toy.partial"):
        get(toy(server), tmp_path)
    place.rename(tmp_path / "toy.partial")
    server.body = BODY[::-1]  # the publisher's file is another one now
    with pytest.raises(FetchError, match=f"expected SHA-256 {SHA256}, got .* thrown away"):
        get(toy(server), tmp_path)
    assert not place.exists() and not (tmp_path / "toy.partial" / "sub" / "a.bin").exists()


def test_a_broken_connection_goes_on_where_it_stopped(server: Behaviour, tmp_path: Path) -> None:
    server.cut_after = [30_000, 20_000, 0]
    place, said = get(toy(server, SHA256, len(BODY)), tmp_path)
    assert server.asked == [None, "bytes=30000-", "bytes=50000-", "bytes=50000-"]
    assert (place / "sub" / "a.bin").read_bytes() == BODY
    assert any("broken off (cut after 30000 of 102400 bytes)" in line for line in said)


def test_a_stopped_program_goes_on_where_it_stopped(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    server.cut_after = [40_000]
    with pytest.raises(FetchError, match="cut after 40000"):
        get(toy(server), tmp_path)
    assert not (tmp_path / "toy").exists() and not (tmp_path / LOCK_FILE).exists()
    place, _ = get(toy(server), tmp_path)
    assert server.asked[-1] == "bytes=40000-" and (place / "sub" / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("change", ["another version", "no Range", "no tag"])
def test_no_mixing_of_versions(server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    server.cut_after = [40_000]
    server.tag = "" if change == "no tag" else '"one"'
    with pytest.raises(FetchError):
        get(toy(server), tmp_path)
    server.body = BODY[::-1]
    server.ranges = change != "no Range"
    server.tag = '"two"'
    place, _ = get(toy(server), tmp_path)
    assert (place / "sub" / "a.bin").read_bytes() == BODY[::-1]


def test_a_part_that_is_whole_already(server: Behaviour, tmp_path: Path) -> None:
    part = tmp_path / "toy.partial" / "sub" / "a.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY)
    part.with_name("a.bin.part.tag").write_text('"one"')
    place, _ = get(toy(server), tmp_path)
    assert server.asked == ["bytes=102400-", None] and (place / "sub" / "a.bin").read_bytes() == BODY


def test_a_server_that_never_gets_anywhere(server: Behaviour, tmp_path: Path) -> None:
    server.ranges = False
    server.cut_after = [40_000] * 9
    with pytest.raises(FetchError, match=r"cut after 40000 of 102400 bytes.*put it at"):
        get(toy(server), tmp_path)
    assert len(server.asked) == 1 + fetching.ATTEMPTS - 1


def test_wrong_content_is_thrown_away(server: Behaviour, tmp_path: Path) -> None:
    server.body = b"something else"
    with pytest.raises(FetchError, match=f"expected SHA-256 {SHA256}, got"):
        get(toy(server, SHA256), tmp_path)
    assert not (tmp_path / "toy").exists() and not (tmp_path / LOCK_FILE).exists()
    server.body = BODY
    get(toy(server, SHA256), tmp_path)


def test_a_login_page_is_not_the_file(server: Behaviour, tmp_path: Path) -> None:
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(FetchError, match="a web page came instead of the file"):
        get(toy(server), tmp_path)
    assert not (tmp_path / "toy").exists()


def test_server_errors(server: Behaviour, tmp_path: Path) -> None:
    server.status = [503, 429]
    get(toy(server), tmp_path / "one")
    assert len(server.asked) == 3
    server.status = [404]
    with pytest.raises(FetchError, match=r"the server answers 404 .*; download it by hand from http://127"):
        get(toy(server), tmp_path / "two")


@pytest.mark.parametrize(("linked", "right"), [(SHA256, True), (SHA256[::-1], False), (SHA256[:40], None)])
def test_a_checksum_that_the_hub_announces_holds_at_once(
    server: Behaviour, tmp_path: Path, linked: str, right: bool | None
) -> None:
    """Large files have their SHA-256 in the answer that redirects; of small ones the tag is another hash."""
    server.linked = f'"{linked}"'
    file = DataFile("a.bin", server.url.replace("/a.bin", "/hub/a.bin"))
    data = dataclasses.replace(toy(server), files=(file,))
    if right is False:
        with pytest.raises(FetchError, match=f"expected SHA-256 {linked}, got {SHA256}; the file was thrown away"):
            get(data, tmp_path)
        assert not (tmp_path / "toy").exists() and not (tmp_path / LOCK_FILE).exists()
        return
    place, said = get(data, tmp_path)
    assert (place / "a.bin").read_bytes() == BODY
    assert any("trusted as it came" in line for line in said) == (right is None)


def test_redirects_never_leave_https(server: Behaviour, tmp_path: Path) -> None:
    handler = fetching._Redirects()
    request = fetching.urllib.request.Request("https://example.org/a")
    with pytest.raises(FetchError, match=r"redirected to http://example.org/a, which is not https"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://example.org/a")
    followed = handler.redirect_request(request, None, 302, "Found", {}, "https://example.org/b")
    assert followed.full_url == "https://example.org/b"


def test_offline_names_the_address_and_the_place_and_takes_the_file(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"
    data = toy(Behaviour(url=url), SHA256)
    with pytest.raises(FetchError) as caught:
        get(data, tmp_path)
    place = tmp_path / "toy.partial" / "sub" / "a.bin"
    assert f"download it by hand from {url}, put it at {place} and run the same command again" in str(caught.value)
    place.write_bytes(BODY[1:])
    with pytest.raises(FetchError, match="expected SHA-256"):
        get(data, tmp_path)
    place.write_bytes(BODY)
    done, _ = get(data, tmp_path)
    assert (done / "sub" / "a.bin").read_bytes() == BODY


def test_no_room_on_the_disk(server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "free_bytes", lambda _: 100_050_000)
    with pytest.raises(FetchError, match=r"0 MB are to come and 100 MB are to stay free, 100 MB are free; make room"):
        get(toy(server, n_bytes=len(BODY)), tmp_path)
    assert server.asked == []
    with pytest.raises(FetchError, match="make room"):  # size learnt from the answer
        get(toy(server), tmp_path)
    assert len(server.asked) == 1 and not list((tmp_path / "toy.partial" / "sub").iterdir())


def test_licence_and_data_sets_by_hand(server: Behaviour, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"read its licence \(CC0\) at https://example.org/toy; --accept-licence"):
        fetch(toy(server), tmp_path, accept_licence=False, say=lambda _: None)
    assert server.asked == [] and not list(tmp_path.iterdir())
    by_hand = DataSet("form", "x", "on request", "https://example.org", by_hand="Fill in the form.")
    with pytest.raises(FetchError, match=r"form cannot be fetched by a program. Fill in the form."):
        get(by_hand, tmp_path)
    (tmp_path / LOCK_FILE).write_text("{")
    with pytest.raises(FetchError, match=f"{LOCK_FILE}: not JSON"):
        get(toy(server), tmp_path)


def test_catalogue_is_complete_and_safe() -> None:
    assert set(BENCHMARKS) | set(PAIR_LAYOUTS) == set(DATA_SETS)
    for data in DATA_SETS.values():
        assert data.home.startswith("https://") and data.licence and data.about and (data.files or data.by_hand)
        for file in data.files:
            assert file.url.startswith("https://") and not Path(file.path).is_absolute() and ".." not in file.path
            assert file.sha256 is None or len(file.sha256) == 64


def test_checksums_are_those_of_the_real_files(real_data: Path) -> None:
    places = {file: real_data / "geochain" / file.path for file in DATA_SETS["geochain"].files}
    places[DATA_SETS["imageo-pcw"].files[0]] = real_data / "imageo" / "pcw_labels.csv"
    for file, place in places.items():
        data = place.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.n_bytes, file.sha256)


def test_commands(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    for data in DATA_SETS.values():
        assert data.name in listed and data.home in listed and data.licence in listed
    monkeypatch.setitem(DATA_SETS, "toy", toy(server))
    assert main(["data", "fetch", "toy", "--to", str(tmp_path)]) == 2
    assert "--accept-licence says that you accept it" in capsys.readouterr().err
    assert main(["data", "fetch", "toy", "--to", str(tmp_path), "--accept-licence"]) == 0
    assert f"fetched: {tmp_path / 'toy'}" in capsys.readouterr().out
    assert main(["data", "fetch", "vigour", "--to", str(tmp_path)]) == 2
    assert "did you mean 'vigor'" in capsys.readouterr().err
    assert main(["data", "fetch", "vigor", "--to", str(tmp_path)]) == 1
    assert "questionnaire" in capsys.readouterr().err
