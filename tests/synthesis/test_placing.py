"""Images of a data set: no metadata in it, no pixel changed without need, and the source's own files never touched."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from geor1.synthesis.images import LEVEL_TIME_S, ImageError, level_times
from geor1.synthesis.placing import COPIED, ENCODED, LINKED, STRIPPED, Placer, bare_jpeg, bare_png, ordered_map, prepare
from geor1.synthesis.probes.features import image_facts


def photo(kind: str, *, size: tuple[int, int] = (64, 48), exif: bool = False, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    if exif:
        told = Image.Exif()
        told.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0)})
        told[0x010E] = "48.8584 N 2.2945 E"
        options["exif"] = told
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"optimize": True}, {"subsampling": 2}, {"quality": 30}]
)
def test_a_bare_jpeg_keeps_its_pixels_and_nothing_else(options: dict) -> None:
    plain = photo("JPEG", **options)
    assert bare_jpeg(plain, "x") == plain
    telling = photo("JPEG", exif=True, comment=b"48.8584 N", icc_profile=b"p" * 500, **options)
    hidden = b"\xff\xee\x00\x16http://ns: 48.8584 Nbetween"  # as Mapillary does, under the number of Adobe's segment
    bare = bare_jpeg(telling[:2] + hidden + telling[2:] + b"48.8584 N behind the end", "x")
    assert bare == plain and np.array_equal(pixels_of(bare), pixels_of(telling))


def test_a_cmyk_jpeg_keeps_what_its_colours_mean() -> None:
    buffer = io.BytesIO()
    Image.new("CMYK", (32, 32), (10, 200, 30, 0)).save(buffer, format="JPEG")
    assert np.array_equal(pixels_of(bare_jpeg(buffer.getvalue(), "x")), pixels_of(buffer.getvalue()))
    assert prepare(buffer.getvalue(), size_px=None, view="ground", quality=92)[2] == ENCODED


def test_a_bare_png_keeps_its_pixels_and_nothing_else() -> None:
    told = PngImagePlugin.PngInfo()
    told.add_text("where", "48.8584 N")
    bare = bare_png(photo("PNG", exif=True, pnginfo=told) + b"behind", "x")
    assert bare == photo("PNG") and b"48.8584" not in bare


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_needs_nothing_is_linked_and_what_carries_metadata_is_stripped(kind: str, tmp_path: Path) -> None:
    source = {name: tmp_path / f"{name}.img" for name in ("plain", "telling")}
    source["plain"].write_bytes(photo(kind))
    source["telling"].write_bytes(photo(kind, exif=True))
    placer = Placer(tmp_path / "out")
    made = {name: tmp_path / "out" / placer.place(file, name, view="ground") for name, file in source.items()}
    assert os.path.samefile(made["plain"], source["plain"]) and not os.path.samefile(made["telling"], source["telling"])
    assert made["plain"].suffix == {"JPEG": ".jpg", "PNG": ".png"}[kind] and not Image.open(made["telling"]).getexif()
    assert np.array_equal(pixels_of(made["telling"].read_bytes()), pixels_of(source["telling"].read_bytes()))
    assert placer.counts == {LINKED: 1, STRIPPED: 1}


def test_a_second_run_at_another_size_leaves_the_linked_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.jpg"
    file.write_bytes(photo("JPEG"))
    before = file.read_bytes()
    placed = Placer(tmp_path / "out").place(file, "a", view="satellite")
    (tmp_path / "out" / f"{placed}.{threading.get_ident()}.partial").hardlink_to(file)  # as a killed run leaves it
    again = Placer(tmp_path / "out", tile_px=28)
    assert again.place(file, "a", view="satellite") == placed and again.counts == {ENCODED: 1}
    assert file.read_bytes() == before and Image.open(tmp_path / "out" / placed).size == (28, 28)
    assert Placer(tmp_path / "out").place(file, "a", view="satellite") == placed
    assert Placer(tmp_path / "out").place(file, "a", view="satellite") == placed  # linked already
    assert os.path.samefile(file, tmp_path / "out" / placed) and not list(tmp_path.rglob("*.partial"))


def test_the_times_of_linked_files_stay_their_owners(tmp_path: Path) -> None:
    file = tmp_path / "mine.jpg"
    file.write_bytes(photo("JPEG"))
    os.utime(file, (1e9, 1e9))
    placer = Placer(tmp_path / "out", tile_px=28)
    linked, encoded = (tmp_path / "out" / placer.place(file, "a", view=view) for view in ("ground", "satellite"))
    level_times(tmp_path / "out" / "images")
    assert file.stat().st_mtime == linked.stat().st_mtime == 1e9 and encoded.stat().st_mtime == LEVEL_TIME_S
    assert image_facts(linked).modified_s == image_facts(encoded).modified_s  # the probes see no difference


def test_where_links_are_impossible_the_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a.jpg").write_bytes(photo("JPEG"))
    placer = Placer(tmp_path / "out")
    assert (tmp_path / "out" / placer.place(tmp_path / "a.jpg", "a", view="ground")).read_bytes() == photo("JPEG")
    assert placer.counts == {COPIED: 1}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("keep", [0, 9, 300, -40, -2])
def test_a_file_that_is_cut_is_found_though_it_is_only_linked(kind: str, keep: int, tmp_path: Path) -> None:
    (tmp_path / "cut.img").write_bytes(photo(kind)[:keep])
    with pytest.raises(ImageError, match=r"cut\.img: "):
        Placer(tmp_path / "out").place(tmp_path / "cut.img", "a", view="ground")
    assert not any((tmp_path / "out" / "images").iterdir())


def test_other_formats_modes_and_turned_photos_are_encoded(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20)).save(buffer, format="JPEG", exif=turned)
    grey = io.BytesIO()
    Image.new("LA", (40, 20)).save(grey, format="PNG")
    for data, size in ((photo("WEBP"), (64, 48)), (buffer.getvalue(), (20, 40)), (grey.getvalue(), (40, 20))):
        made, suffix, how = prepare(data, size_px=None, view="ground", quality=92)
        assert (suffix, how) == (".jpg", ENCODED) and Image.open(io.BytesIO(made)).size == size


def test_an_image_of_the_wanted_size_is_not_encoded_again() -> None:
    data = photo("JPEG", size=(56, 56))
    assert prepare(data, size_px=(56, 56), view="satellite", quality=92)[::2] == (data, COPIED)
    assert prepare(data, size_px=(28, 28), view="satellite", quality=92)[2] == ENCODED


def test_a_tile_that_pairs_share_is_written_once(tmp_path: Path) -> None:
    placer = Placer(tmp_path / "out")
    names = {placer.place(photo("JPEG"), "tile", view="satellite") for _ in range(3)}
    assert len(names) == 1 and placer.counts == {COPIED: 1}


@pytest.mark.parametrize("workers", [1, 3])
def test_order_is_kept_and_no_more_than_a_few_are_ahead(workers: int) -> None:
    taken, released = [], threading.Event()

    def make(number: int) -> int:
        if number == 5:
            released.wait(0.05)
        return number * number

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    for done, square in enumerate(ordered_map(make, items(), workers), start=1):
        assert square == (done - 1) ** 2 and len(taken) - done < 4 * workers
    assert done == 100


def test_an_error_comes_when_its_turn_comes() -> None:
    def make(number: int) -> int:
        return 1 // (3 - number)

    results = ordered_map(make, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_real_photos_are_rid_of_their_gps_without_a_change(real_data: Path) -> None:
    photos = sorted((real_data / "exif").glob("*.jpg"))
    assert any(Image.open(photo).getexif().get_ifd(0x8825) for photo in photos)
    for file in photos:
        data = file.read_bytes()
        bare = bare_jpeg(data, file.name)
        assert not Image.open(io.BytesIO(bare)).getexif() and b"Exif" not in bare[:2000] and len(bare) < len(data)
        assert np.array_equal(pixels_of(bare), pixels_of(data))
