"""Fetch a data set from its public home, whole or not at all.

``DIR/NAME`` appears by one rename when every file is there and checked; until then the files gather in
``DIR/NAME.partial``. A broken download goes on where it stopped (HTTP Range). A file with a published checksum is held
to it, and so is one whose server announces its SHA-256, as the Hugging Face Hub does of large files in the answer that
redirects (``X-Linked-Etag``). ``DIR/geor1-data.lock.json`` keeps the SHA-256 of what came first, and later fetches are
held to that; a first file without any checksum is trusted, which is said. A file put into ``DIR/NAME.partial`` by hand
is checked and taken like a downloaded one.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from geor1.benchmarks.catalogue import DataFile, DataSet
from geor1.runs.errors import ConfigError
from geor1.runs.files import disk_full_is_clear, free_bytes, sha256_of_file, write_json

LOCK_FILE = "geor1-data.lock.json"
ATTEMPTS = 5  # in a row without a byte of progress
TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 18
_SPARE_BYTES = 100_000_000  # left free on the disk


class FetchError(OSError):
    """A data set that could not be fetched: what came instead, from where, and how to get it by hand."""


def fetch(
    data: DataSet,
    to: Path | str,
    *,
    accept_licence: bool,
    say: Callable[[str], None] = print,
    pause_s: float = 2.0,
) -> Path:
    """Fetch, or check what was fetched before.

    Args:
        data: From :mod:`geor1.benchmarks.catalogue`.
        to: Folder for all data sets; made if absent.
        accept_licence: Whether the user accepts the licence.
        say: Told of progress, a line each.
        pause_s: Seconds before the second attempt, doubled for each further one.

    Returns:
        ``to / name``.

    Raises:
        ConfigError: The licence is not accepted.
        FetchError: No files to fetch, no connection, wrong content, or not enough disk.
    """
    say(f"{data.name}: {data.about}\nlicence: {data.licence} ({data.home})")
    if not data.files:
        raise FetchError(f"{data.name} cannot be fetched by a program. {data.by_hand}")
    if not accept_licence:
        raise ConfigError(
            f"{data.name}: read its licence ({data.licence}) at {data.home}; --accept-licence says that you accept it"
        )
    to = Path(to)
    final, partial = to / data.name, to / f"{data.name}.partial"
    lock = _read_lock(to / LOCK_FILE)
    if final.exists():
        _check_finished(data, final, lock)
        say(f"already there and unchanged: {final}")
    else:
        partial.mkdir(parents=True, exist_ok=True)
        _require_disk(data, partial)
        for file in data.files:
            _one(file, partial, _expected(data, file, lock), say, pause_s)
        lock |= {_key(data, file): sha256_of_file(partial / file.path) for file in data.files}
        write_json(to / LOCK_FILE, dict(sorted(lock.items())))
        os.replace(partial, final)
        say(f"fetched: {final}")
    if data.by_hand:
        say(data.by_hand)
    return final


def _one(file: DataFile, partial: Path, expected: str | None, say: Callable[[str], None], pause_s: float) -> None:
    """One file, checked, at its place in the partial folder."""
    target = partial / file.path
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        say(f"from {file.url}")
        part = target.with_name(target.name + ".part")
        announced = _download(file.url, part, target, say, pause_s)
        os.replace(part, target)
        expected = expected or announced
    found = sha256_of_file(target)
    if expected is None:
        say(f"{file.path}: no checksum is published or announced; trusted as it came, later fetches are held to it")
    elif found != expected:
        target.unlink()
        raise FetchError(
            f"{file.url}: expected SHA-256 {expected}, got {found}; the file was thrown away. If its publisher changed "
            f"it on purpose, remove its line from {LOCK_FILE}; else fetch it by hand to {target}"
        )


def _download(url: str, part: Path, target: Path, say: Callable[[str], None], pause_s: float) -> str | None:
    """Fill ``part``, resuming, until the server says that it is whole; the SHA-256 that it announced, if any."""
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            with disk_full_is_clear(part):
                return _continue(url, part)
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # nothing lies behind what we have: start over rather than trust it
                part.unlink()
            elif error.code < 500 and error.code != 429:
                answer = f"{error.code} {error.reason}"
                raise FetchError(f"{url}: the server answers {answer}; {_by_hand(url, target)}") from error
            problem: Exception = error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            problem = error
        failures = 1 if part.exists() and part.stat().st_size > before else failures + 1
        reason = getattr(problem, "reason", problem)
        if failures >= ATTEMPTS:
            raise FetchError(f"{url}: no connection ({reason}); {_by_hand(url, target)}") from problem
        wait_s = pause_s * 2 ** (failures - 1)
        say(f"broken off ({reason}); again in {wait_s:g} s")
        time.sleep(wait_s)


def _continue(url: str, part: Path) -> str | None:
    """One request for what is still lacking; the SHA-256 that the server announced, if any."""
    have = part.stat().st_size if part.exists() else 0
    tag_file = part.with_name(part.name + ".tag")
    tag = tag_file.read_text(encoding="utf-8") if have and tag_file.is_file() else ""
    headers = {"User-Agent": "geor1", "Accept-Encoding": "identity"}
    if have and tag:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    redirects = _Redirects()
    opener = urllib.request.build_opener(redirects)
    with opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as response:
        start, total = _extent(response, url, have)
        if response.headers.get_content_type() == "text/html" and not url.endswith((".html", ".htm")):
            raise FetchError(f"{url}: a web page came instead of the file (a login, perhaps); open it in a browser")
        _require_room(part, total - start if total is not None else 0)
        if start and _validator(response) != tag:
            part.unlink()
            raise ConnectionError("the file changed while it was fetched")
        with part.open("r+b" if start else "wb") as out:
            out.seek(start)
            out.truncate()
            tag_file.write_text(_validator(response), encoding="utf-8")  # not before the old bytes are gone
            while chunk := response.read(_CHUNK_BYTES):
                out.write(chunk)
            size = out.tell()
    if total is not None and size < total:
        raise ConnectionError(f"cut after {size} of {total} bytes")
    tag_file.unlink()
    return redirects.sha256 or _announced(response.headers)


def _extent(response: Any, url: str, have: int) -> tuple[int, int | None]:
    """First byte that comes, and size of the whole file if the server says."""
    if response.status != 206:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length else None
    unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
    first, _, rest = extent.partition("-")
    total = rest.partition("/")[2]
    if unit != "bytes" or not first.isdigit() or int(first) > have:
        raise FetchError(f"{url}: a partial answer without a usable Content-Range ({unit} {extent}); try again later")
    return int(first), int(total) if total.isdigit() else None


def _validator(response: Any) -> str:
    """What tells this version of the file from another; weak tags do not."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _announced(headers: Mapping[str, str]) -> str | None:
    """The SHA-256 of a large file in an answer of the Hugging Face Hub; other tags of it are no SHA-256."""
    tag = (headers.get("X-Linked-Etag") or "").strip('"')
    return tag if re.fullmatch("[0-9a-f]{64}", tag) else None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else, and keeps a SHA-256 announced on the way."""

    sha256: str | None = None

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request that follows, unless it would leave https."""
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise FetchError(f"{req.full_url}: redirected to {newurl}, which is not https; fetch it by hand")
        self.sha256 = self.sha256 or _announced(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_finished(data: DataSet, final: Path, lock: dict[str, str]) -> None:
    for file in data.files:
        path = final / file.path
        expected = _expected(data, file, lock)
        if not path.is_file():
            raise FetchError(
                f"{path} is missing though {final} exists; rename that folder to {final.name}.partial and run again"
            )
        if expected is not None and sha256_of_file(path) != expected:
            raise FetchError(f"{path}: changed since it was fetched (SHA-256 is not {expected}); remove it and {final}")


def _expected(data: DataSet, file: DataFile, lock: dict[str, str]) -> str | None:
    return file.sha256 or lock.get(_key(data, file))


def _key(data: DataSet, file: DataFile) -> str:
    return f"{data.name}/{file.path}"


def _read_lock(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise FetchError(f"{path}: not JSON ({error.msg}); restore it, or remove it to lock anew") from error
    return dict(lock)


def _require_disk(data: DataSet, partial: Path) -> None:
    known = sum(file.n_bytes or 0 for file in data.files if not (partial / file.path).is_file())
    _require_room(partial, known)


def _require_room(path: Path, needed_bytes: int) -> None:
    free = free_bytes(path)
    if free < needed_bytes + _SPARE_BYTES:
        raise FetchError(
            f"{path}: {needed_bytes / 1e6:.0f} MB are to come and {_SPARE_BYTES / 1e6:.0f} MB are to stay free, "
            f"{free / 1e6:.0f} MB are free; make room, or choose another folder with --to"
        )


def _by_hand(url: str, target: Path) -> str:
    return f"download it by hand from {url}, put it at {target} and run the same command again, it goes on from there"
