"""Thumbnails: small, without metadata, and no exception for a bad picture."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from geor1.maps.thumbnails import make_thumbnails, resolve, thumbnail_body


def decode(body: str) -> bytes:
    return base64.b64decode(body, validate=True)


def opened(body: str) -> Image.Image:
    image = Image.open(io.BytesIO(decode(body)))
    assert image.format == "WEBP"
    return image


def test_small_and_without_metadata(pictures):
    source = pictures / "images" / "g.png"
    assert b"SECRETPLACE" in source.read_bytes()
    body = thumbnail_body(source, 160)
    assert opened(body).size == (320, 80)  # the area of 160 x 160
    data = decode(body)
    assert not opened(body).getexif() and b"SECRETPLACE" not in data and b"Exif" not in data and b"EXIF" not in data


@pytest.mark.parametrize(("size", "expected"), [((1600, 100), (480, 30)), ((90, 60), (90, 60)), ((1, 4000), (1, 480))])
def test_neither_too_long_nor_enlarged(tmp_path, size, expected):
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    assert opened(thumbnail_body(tmp_path / "a.png", 160)).size == expected


def test_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (80, 40), "red").save(tmp_path / "turned.jpg", exif=exif)
    assert opened(thumbnail_body(tmp_path / "turned.jpg", 100)).size == (40, 80)


def test_real_photos_lose_their_gps(real_data):
    photos = [p for p in (real_data / "exif").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg")]
    assert photos
    for photo in photos:
        image = opened(thumbnail_body(photo, 200))
        assert not image.getexif() and not {"exif", "xmp", "icc_profile"} & set(image.info)


def test_each_picture_once_and_none_beyond_the_limit(pictures):
    made = make_thumbnails([f"images/{name}.png" for name in "gaagb"], pictures, limit=2)
    assert [made.of(f"images/{name}.png") for name in "gagb"] == [0, 1, 0, -1]
    assert made.of("images/../images/a.png") == 1
    assert len(made.bodies) == 2 and made.left_out == {"images/b.png"} and not made.failures


def test_none_beyond_the_characters_allowed(pictures):
    paths = [f"images/{name}.png" for name in "gabcd"]
    whole = make_thumbnails(paths, pictures, limit=9)
    enough = sum(len(body) for body in whole.bodies[:2])
    made = make_thumbnails(paths, pictures, limit=9, max_characters=enough)
    assert made.bodies == whole.bodies[:2] and made.left_out == set(paths[2:])


def test_the_threads_do_not_change_the_result(pictures):
    paths = [f"images/{name}.png" for name in "gabcd"]
    assert make_thumbnails(paths, pictures, limit=9, threads=1) == make_thumbnails(paths, pictures, limit=9, threads=4)


@pytest.mark.parametrize(("count", "side"), [(1000, 320), (1001, 224), (5001, 112), (10_000, 96), (10_001, 80)])
def test_more_pictures_are_smaller_ones(tmp_path, count, side):
    made = make_thumbnails([f"{n}.jpg" for n in range(count)], tmp_path, limit=20_000)
    assert made.side_px == side and len(made.failures) == count


def test_bad_pictures_are_counted_not_raised(pictures, caplog):
    whole = (pictures / "images" / "g.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "text.jpg").write_text("<svg onload=alert(1)>")
    paths = [
        "cut.png",
        "text.jpg",
        "gone.png",
        "/etc/passwd",
        "a\x00b",
        "",
        "https://host/x.png",
        "data:image/png;base64,AA",
        "lone\ud800",
        "x" * 5000,
    ]
    made = make_thumbnails(paths, pictures, limit=99)
    assert [made.of(path) for path in paths] == [-1] * len(paths)
    assert len(made.failures) == len(paths) and made.bodies == []
    assert "10 pictures could not be read" in caplog.text


def test_resolve_names_what_it_expected(tmp_path):
    with pytest.raises(ValueError, match="expected a path relative to"):
        resolve("/absolute.png", tmp_path)
    assert resolve("../01/images/a.png", tmp_path) == tmp_path / "../01/images/a.png"
