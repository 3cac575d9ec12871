"""A folder is known by the content of its files, and a large one is read once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from geor1.runs import content, keys
from geor1.runs.content import folder_content
from geor1.runs.files import sha256_of_file


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read; every folder is large enough for its hashes to be kept, in a cache here."""
    names: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(content, "KEPT_FROM_BYTES", 1)
    monkeypatch.setattr(content, "sha256_of_file", lambda path: names.append(path.name) or sha256_of_file(path))
    return names


def data(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    (folder / "tiles").mkdir(parents=True)
    for name, text in (("pairs.csv", "a,b"), ("tiles/1.bmp", "red"), ("tiles/2.bmp", "blue"), (".hidden", "no")):
        (folder / name).write_text(text)
        os.utime(folder / name, (1e9, 1e9))
    return folder


def test_an_image_of_the_same_size_is_another_image(tmp_path: Path) -> None:
    folder = data(tmp_path)
    before = keys.fingerprint(folder)
    (folder / "tiles/1.bmp").write_text("ink")
    os.utime(folder / "tiles/1.bmp", (1e9, 1e9 + 1))
    assert keys.fingerprint(folder) != before
    (folder / "tiles/1.bmp").write_text("red")
    assert keys.fingerprint(folder) == before, "content alone, neither time nor place"


def test_only_what_was_touched_is_read_again(tmp_path: Path, read: list[str]) -> None:
    folder = data(tmp_path)
    first = folder_content(folder)
    assert list(first) == ["pairs.csv", "tiles/1.bmp", "tiles/2.bmp"] and len(read) == 3
    assert folder_content(folder) == first and len(read) == 3
    (folder / "tiles/2.bmp").write_text("blau")
    os.utime(folder / "tiles/2.bmp", (1e9, 1e9 + 1))
    (folder / "tiles/1.bmp").unlink()
    changed = folder_content(folder)
    assert read[3:] == ["2.bmp"] and list(changed) == ["pairs.csv", "tiles/2.bmp"]
    assert changed["tiles/2.bmp"] != first["tiles/2.bmp"]
    folder.rename(tmp_path / "moved")
    assert folder_content(tmp_path / "moved") == changed, "another place, read there"


def test_what_has_just_changed_is_not_trusted(tmp_path: Path, read: list[str]) -> None:
    folder = data(tmp_path)
    os.utime(folder / "pairs.csv", (time.time(), time.time()))
    folder_content(folder)
    folder_content(folder)
    assert read[3:] == ["pairs.csv"]


def test_small_folders_leave_nothing_behind(tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "KEPT_FROM_BYTES", 1 << 20)
    folder_content(data(tmp_path))
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_used_is_named(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = data(tmp_path)
    first = folder_content(folder)
    (kept,) = (tmp_path / "cache" / "geor1").iterdir()
    kept.write_text("{half")
    assert folder_content(folder) == first and len(read) == 6 and "cannot be used" in caplog.text
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert folder_content(folder) == first and "cannot be written" in caplog.text


def test_more_files_than_are_read_together(tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_AT_ONCE", 2)
    monkeypatch.setenv("GEOR1_PROGRESS", "off")
    folder = data(tmp_path)
    assert folder_content(folder)["tiles/2.bmp"] == sha256_of_file(folder / "tiles/2.bmp") and len(read) == 3
