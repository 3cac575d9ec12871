"""Thumbnails: small, without metadata, and no exception for a bad picture."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from geor1.maps.thumbnails import ThumbnailStore, resolve, thumbnail_uri


def decode(uri: str) -> bytes:
    assert uri.startswith("data:image/jpeg;base64,")
    return base64.b64decode(uri.split(",", 1)[1])


def test_small_and_without_metadata(pictures):
    source = pictures / "images" / "g.png"
    assert b"SECRETPLACE" in source.read_bytes()
    data = decode(thumbnail_uri(source, 320))
    image = Image.open(io.BytesIO(data))
    assert image.size == (320, 80)
    assert not image.getexif() and b"SECRETPLACE" not in data and b"Exif" not in data


def test_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (80, 40), "red").save(tmp_path / "turned.jpg", exif=exif)
    assert Image.open(io.BytesIO(decode(thumbnail_uri(tmp_path / "turned.jpg", 100)))).size == (40, 80)


def test_real_photos_lose_their_gps(real_data):
    photos = [p for p in (real_data / "exif").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg")]
    assert photos
    for photo in photos:
        assert not Image.open(io.BytesIO(decode(thumbnail_uri(photo, 200)))).getexif()


def test_store_makes_each_once_and_stops_at_its_limit(pictures):
    store = ThumbnailStore(pictures, limit=2)
    assert [store.add(f"images/{name}.png", 50) for name in "gaagb"] == [0, 1, 1, 0, -1]
    assert len(store.uris) == 2 and store.left_out == {"images/b.png"} and not store.failures


def test_bad_pictures_are_counted_not_raised(pictures, caplog):
    whole = (pictures / "images" / "g.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "text.jpg").write_text("<svg onload=alert(1)>")
    store = ThumbnailStore(pictures, limit=9)
    paths = [
        "cut.png",
        "text.jpg",
        "gone.png",
        "/etc/passwd",
        "a\x00b",
        "",
        "https://host/x.png",
        "data:image/png;base64,AA",
    ]
    assert [store.add(path, 50) for path in paths] == [-1] * len(paths)
    assert set(store.failures) == set(paths) and store.uris == []
    store.report()
    assert "8 pictures could not be read" in caplog.text


def test_resolve_names_what_it_expected(tmp_path):
    with pytest.raises(ValueError, match="expected a path relative to"):
        resolve("/absolute.png", tmp_path)
    assert resolve("../01/images/a.png", tmp_path) == tmp_path / "../01/images/a.png"
