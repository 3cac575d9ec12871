"""Sources of pairs: folders with everything wrong that folders can have, and the miniature world."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geor1.geodesy import haversine_km
from geor1.synthesis.folder_source import FolderSource, folder_sources
from geor1.synthesis.images import ImageError, fit, load_image, neutral_name, sniff_format
from geor1.synthesis.sources import Source, SourceError
from geor1.synthesis.world_source import WorldSource, plan_blocks
from geor1.world.gazetteer import cities

from .hand_made import HandMadeSource


def write_image(path: Path, *, size: tuple[int, int] = (64, 32), kind: str = "JPEG", gps: bool = False) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    exif = Image.Exif()
    if gps:
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    Image.fromarray(pixels).save(path, format=kind, exif=exif)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "town"
    place.mkdir()
    for name in ("01", "02", "03"):
        write_image(place / f"{name}_ground.jpg", gps=True)
        write_image(place / f"{name}_satellite.jpg", size=(40, 40))
    return place


def read(folder: Path, out: Path, **settings: object) -> list:
    return list(FolderSource(folder=folder, **settings).pairs(out))


def test_every_source_fits_the_interface(folder: Path) -> None:
    for source in (HandMadeSource(), FolderSource(folder=folder), WorldSource(train_pairs=6, test_pairs=0)):
        assert isinstance(source, Source)


class TestFolder:
    def test_plain_folder(self, folder: Path, tmp_path: Path) -> None:
        pairs = read(folder, tmp_path / "out")
        assert [pair.pair_id for pair in pairs] == ["folder:town/01", "folder:town/02", "folder:town/03"]
        assert all(pair.latitude_deg is None and pair.split == "test" and pair.facts == {} for pair in pairs)
        image = Image.open(tmp_path / "out" / pairs[0].ground_image)
        assert image.size == (64, 32) and image.format == "JPEG"

    def test_images_carry_no_metadata_and_no_telling_name(self, folder: Path, tmp_path: Path) -> None:
        assert len(Image.open(folder / "01_ground.jpg").getexif()) > 0
        for pair in read(folder, tmp_path / "out"):
            for path in (pair.ground_image, pair.satellite_image):
                image = Image.open(tmp_path / "out" / path)
                assert not image.getexif() and "exif" not in image.info
                assert "town" not in path and len(Path(path).stem) == 20
            assert Path(pair.ground_image).stem[:4] != Path(pair.satellite_image).stem[:4]

    def test_positions_from_csv(self, folder: Path, tmp_path: Path) -> None:
        (folder / "where.csv").write_text("name,lat,lon,city,split\n01,48.8,2.3,Paris,train\n03,-33.9,18.4,,\n")
        first, second, third = read(folder, tmp_path / "out")
        assert (first.latitude_deg, first.longitude_deg, first.city, first.split) == (48.8, 2.3, "Paris", "train")
        assert first.facts == {"city": "Paris"}
        assert second.latitude_deg is None and third.longitude_deg == 18.4 and third.split == "test"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name,lat,lon\n01,121.47,31.23\n", r"where.csv line 2: lat_deg=121.47 is outside.*swapped"),
            ("name,lat,lon\n01,48.8,2.3\n02,48.8,\n", r"line 3: .*both or neither"),
            ("name,lat,lon\n01,48.8,200\n", r"line 2: lon_deg=200.0 is outside"),
            ("name,lat,lon\n01,north,2\n", r"line 2: latitude_deg: expected decimal degrees, got 'north'"),
            ("name,lat,lon\n01,nan,2\n", r"line 2: lat_deg=nan"),
            ("name,lat,lon\n09,48.8,2.3\n", r"line 2: pair '09' has no images"),
            ("name,lat,lon\n01,1,2\n01,1,2\n", r"line 3: pair '01' has a row already"),
            ("name,lat\n01,48.8\n", r"line 1: no column for longitude_deg"),
            ("name,lat,lon,split\n01,1,2,val\n", r"line 2: split: expected"),
            ("", r"line 1: no column for name"),
        ],
    )
    def test_bad_rows_are_named(self, folder: Path, tmp_path: Path, text: str, message: str) -> None:
        (folder / "where.csv").write_text(text)
        with pytest.raises(SourceError, match=message):
            read(folder, tmp_path / "out")

    def test_two_tables(self, folder: Path, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            (folder / name).write_text("name,lat,lon\n")
        with pytest.raises(SourceError, match="one CSV"):
            read(folder, tmp_path / "out")

    def test_missing_partner(self, folder: Path, tmp_path: Path) -> None:
        (folder / "02_satellite.jpg").unlink()
        with pytest.raises(SourceError, match=r"02_ground.jpg has no partner 02_satellite.jpg"):
            read(folder, tmp_path / "out")

    def test_two_images_for_one_view(self, folder: Path, tmp_path: Path) -> None:
        write_image(folder / "02_ground.png", kind="PNG")
        with pytest.raises(SourceError, match=r"two ground images, 02_ground.jpg and 02_ground.png"):
            read(folder, tmp_path / "out")

    @pytest.mark.parametrize("keep", [0, 5, 300, -200])
    def test_truncated_image(self, folder: Path, tmp_path: Path, keep: int) -> None:
        whole = (folder / "03_ground.jpg").read_bytes()
        (folder / "03_ground.jpg").write_bytes(whole[:keep])
        with pytest.raises(ImageError, match=r"03_ground.jpg: (JPEG file cannot be decoded|expected JPEG)"):
            read(folder, tmp_path / "out")

    def test_text_called_jpg_and_png_called_jpg(self, folder: Path, tmp_path: Path) -> None:
        write_image(folder / "01_ground.jpg", kind="PNG")
        assert len(read(folder, tmp_path / "out")) == 3
        (folder / "01_ground.jpg").write_text("<html>404</html>")
        with pytest.raises(ImageError, match=r"01_ground.jpg: expected JPEG, PNG or WebP bytes, got b'<html>40'"):
            read(folder, tmp_path / "out")

    def test_no_folder_and_no_pairs(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="no such folder"):
            read(tmp_path / "nowhere", tmp_path / "out")
        with pytest.raises(SourceError, match="found none"):
            read(tmp_path, tmp_path / "out")
        with pytest.raises(SourceError, match="no such folder"):
            folder_sources(tmp_path / "nowhere")

    def test_folder_of_folders(self, folder: Path) -> None:
        assert [source.name for source in folder_sources(folder.parent)] == ["folder:town"]
        assert [source.name for source in folder_sources(folder)] == ["folder:town"]

    def test_the_ten_real_pairs(self, real_data: Path, tmp_path: Path) -> None:
        sources = folder_sources(real_data / "pairs", panorama_px=(224, 56), tile_px=84)
        pairs = [pair for source in sources for pair in source.pairs(tmp_path)]
        assert [source.name for source in sources] == ["folder:cvcities", "folder:cvusa"] and len(pairs) == 10
        assert {Image.open(tmp_path / pair.ground_image).size for pair in pairs} == {(224, 56)}
        assert {Image.open(tmp_path / pair.satellite_image).size for pair in pairs} == {(84, 84)}

    def test_real_gps_is_stripped(self, real_data: Path) -> None:
        photos = sorted((real_data / "exif").glob("*.jpg"))
        assert any(Image.open(photo).getexif().get_ifd(0x8825) for photo in photos)
        for photo in photos:
            assert not load_image(photo).getexif() and not load_image(photo).info


class TestImages:
    def test_orientation_is_applied_before_it_is_dropped(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
        assert load_image(tmp_path / "a.jpg").size == (20, 40)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
    def test_formats_by_their_bytes(self, kind: str) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, format=kind)
        assert sniff_format(buffer.getvalue()) == (kind if kind in ("JPEG", "PNG", "WEBP") else None)

    def test_panorama_keeps_all_columns_and_the_horizon(self) -> None:
        rows = np.zeros((512, 1024, 3), np.uint8)
        rows[256:] = 255
        rows[:, :100] = 90
        fitted = np.asarray(fit(Image.fromarray(rows), width_px=224, height_px=56, view="ground"))
        assert fitted.shape == (56, 224, 3)
        assert fitted[26, 100].max() < 40 and fitted[29, 100].min() > 215  # horizon in the middle
        assert abs(int(fitted[10, 5, 0]) - 90) < 5  # the left edge is still there

    def test_tile_keeps_its_centre(self) -> None:
        pixels = np.zeros((100, 200, 3), np.uint8)
        pixels[48:52, 98:102] = 255
        fitted = np.asarray(fit(Image.fromarray(pixels), width_px=84, height_px=84, view="satellite"))
        assert fitted.shape == (84, 84, 3) and fitted[41:43, 41:43].min() > 150

    def test_names_are_stable_and_unrelated(self) -> None:
        assert neutral_name("world", 0, "quito-ec", 1, "ground") == neutral_name("world", 0, "quito-ec", 1, "ground")
        names = {neutral_name("world", 0, city, k, view) for city in "ab" for k in range(9) for view in "gs"}
        assert len(names) == 36


class TestWorld:
    @pytest.mark.parametrize(("n", "blocks"), [(6, 1), (100, 8), (1000, 83), (100_000, 1667)])
    def test_plan_adds_up(self, n: int, blocks: int) -> None:
        plan = plan_blocks(cities("train"), "train", n, 12, seed=3)
        assert sum(block.n for block in plan) == n
        assert max(block.n for block in plan) - min(block.n for block in plan) <= 1
        assert max(block.n for block in plan) <= 60
        assert len(plan) == (blocks if blocks < len(cities("train")) else max(len(cities("train")), blocks))
        assert len({(block.city.city_id, block.seed) for block in plan}) == len(plan)

    def test_pairs_of_the_world(self, tmp_path: Path) -> None:
        pairs = list(WorldSource(train_pairs=14, test_pairs=7, scenes_per_neighbourhood=7, seed=2).pairs(tmp_path))
        assert [pair.split for pair in pairs] == ["train"] * 14 + ["test"] * 7
        assert len({pair.pair_id for pair in pairs}) == 21
        of_city = {city.name: city for city in cities()}
        for pair in pairs:
            assert Image.open(tmp_path / pair.ground_image).size == (224, 56)
            assert Image.open(tmp_path / pair.satellite_image).size == (84, 84)
            home = of_city[pair.city]
            away_km = haversine_km(
                lat1=pair.latitude_deg, lon1=pair.longitude_deg, lat2=home.latitude_deg, lon2=home.longitude_deg
            )
            assert away_km < 2.1 and home.split == pair.split
            assert pair.facts["hemisphere"] == ("north" if pair.latitude_deg > 0 else "south")
        for path in tmp_path.rglob("*.jpg"):
            assert not Image.open(path).getexif()

    @pytest.mark.slow
    def test_workers_change_nothing(self, tmp_path: Path) -> None:
        made = {}
        for workers in (1, 2):
            source = WorldSource(train_pairs=240, test_pairs=12, workers=workers)
            pairs = list(source.pairs(tmp_path / str(workers)))
            files = sorted((tmp_path / str(workers)).rglob("*.jpg"))
            made[workers] = (pairs, [(file.name, file.read_bytes()) for file in files])
        assert made[1] == made[2]
