"""Cross-view data sets in miniature, in the published layouts, through stage 01's own machinery."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from benchmark_cases import picture, write
from PIL import Image
from scipy.integrate import quad
from scipy.io import savemat

from geor1.benchmarks.registry import pair_layout
from geor1.geodesy import destination, haversine_km
from geor1.records import Candidate, Pair, Question
from geor1.synthesis.layouts.base import PairLayout
from geor1.synthesis.layouts.cvact import CvActLayout, utm_to_degrees
from geor1.synthesis.layouts.vigor import VigorLayout
from geor1.synthesis.negative_rule import NegativeRule
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.sources import Books, Source, SourceError

VIGOR_CITIES = {
    "NewYork": (40.7, -74.0), "Seattle": (47.6, -122.3), "Chicago": (41.9, -87.6), "SanFrancisco": (37.8, -122.4),
}  # fmt: skip


def delivered(source: PairLayout, out_dir: Path) -> list[Pair]:
    pairs = list(source.pairs(out_dir))
    for pair in pairs:
        for name in (pair.ground_image, pair.satellite_image):
            with Image.open(out_dir / name) as image:
                assert image.format == {".jpg": "JPEG", ".png": "PNG"}[Path(name).suffix] and not image.getexif()
            assert len(Path(name).stem) == 20
    return pairs


@pytest.fixture
def cvusa(tmp_path: Path) -> Path:
    root = tmp_path / "cvusa"
    line = "bingmap/19/{0}.jpg,streetview/panos/{0}.jpg,streetview/annotations/{0}.png"
    write(root / "splits" / "train-19zl.csv", line.format("0000002"))
    write(root / "splits" / "val-19zl.csv", line.format("0000001"))
    for number in (1, 2):
        picture(root / "bingmap" / "19" / f"000000{number}.jpg", number)
        picture(root / "streetview" / "panos" / f"000000{number}.jpg", number + 9)
    return root


def test_cvusa(cvusa: Path, tmp_path: Path) -> None:
    source = pair_layout("cvusa", cvusa)
    assert isinstance(source, Source) and source.name == "cvusa"
    train, test = delivered(source, tmp_path / "out")
    assert (train.pair_id, train.split, test.pair_id, test.split) == ("cvusa/0000002", "train", "cvusa/0000001", "test")
    assert test.latitude_deg is None and test.country_code == "US" and test.city is None
    write(cvusa / "split_locations" / "all.csv", "43.1,-122.1,43.2,-122.2,0", "30.1,-90.1,30.2,-90.2,0")
    train, test = delivered(source, tmp_path / "out")
    assert (test.latitude_deg, test.longitude_deg) == (43.2, -122.2)  # row 1 is image 1, ground not aerial
    assert (train.latitude_deg, train.longitude_deg) == (30.2, -90.2)
    assert [pair.split for pair in delivered(pair_layout("cvusa", cvusa, split="test"), tmp_path / "one")] == ["test"]


def test_cvusa_that_does_not_fit(cvusa: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(cvusa / "split_locations" / "all.csv", "43.1,-122.1,43.2,-122.2,0")
    with pytest.raises(SourceError, match=r"train-19zl.csv line 1: image 2 has no row in split_locations/all.csv"):
        list(pair_layout("cvusa", cvusa).pairs(tmp_path))
    write(cvusa / "split_locations" / "all.csv", "43.1,-122.1,43.2,-122.2,0", "43.1,-122.1,143.2,-122.2,0")
    with pytest.raises(SourceError, match=r"all.csv line 2, column '3': expected degrees in .-90, 90., got '143.2'"):
        list(pair_layout("cvusa", cvusa).pairs(tmp_path))
    (cvusa / "split_locations" / "all.csv").unlink()
    (cvusa / "bingmap" / "19" / "0000001.jpg").unlink()
    with pytest.raises(SourceError, match=r"0000001.jpg: image of pair '0000001' is missing"):
        list(pair_layout("cvusa", cvusa).pairs(tmp_path))
    with caplog.at_level(logging.WARNING):
        books = Books(skip_broken=True)
        assert len(delivered(pair_layout("cvusa", cvusa, books=books), tmp_path)) == 1
    assert books.n_broken == 1 and "0000001.jpg: image of pair '0000001' is missing" in caplog.text
    write(cvusa / "splits" / "val-19zl.csv", "../../secret.jpg,streetview/panos/0000001.jpg,x")
    with pytest.raises(SourceError, match=r"image path '../../secret.jpg'|expected a numbered image"):
        list(pair_layout("cvusa", cvusa).pairs(tmp_path))
    write(cvusa / "splits" / "val-19zl.csv", "../../0000001.jpg,streetview/panos/0000001.jpg,x")
    with pytest.raises(SourceError, match="leaves the folder"):
        list(pair_layout("cvusa", cvusa).pairs(tmp_path))
    write(cvusa / "splits" / "val-19zl.csv", "a.jpg,b.jpg")
    with pytest.raises(SourceError, match=r"val-19zl.csv line 1: expected 3 cells, got 2"):
        list(pair_layout("cvusa", cvusa).pairs(tmp_path))
    with pytest.raises(SourceError, match="is this the root of the data set"):
        list(pair_layout("cvusa", tmp_path / "absent").pairs(tmp_path))


def test_cvact(tmp_path: Path) -> None:
    root = tmp_path / "cvact"
    root.mkdir()
    ids = np.array(["aaaaaaaa", "bbbbbbbb", "cccccccc"])
    utm = np.array([[693000.0, 6093000.0], [693100.0, 6093000.0], [693000.0, 6093100.0]])
    sets = {name: {"label": "x", "ind": np.array(rows)} for name, rows in (("trainSet", [1, 2]), ("valSet", [3]))}
    savemat(root / "ACT_data.mat", {"panoIds": ids, "utm": utm, **sets})
    for number, name in enumerate(ids):
        picture(root / "ANU_data_small" / "streetview" / f"{name}_grdView.jpg", number)
        picture(root / "ANU_data_small" / "satview_polish" / f"{name}_satView_polish.jpg", number + 9)
    (test,) = delivered(pair_layout("cvact", root), tmp_path / "out")
    assert test.pair_id == "cvact/cccccccc" and test.split == "test" and test.city == "Canberra"
    assert abs(test.latitude_deg + 35.3) < 0.1 and abs(test.longitude_deg - 149.1) < 0.1
    first, second = delivered(pair_layout("cvact", root, split="train"), tmp_path / "out")
    apart = haversine_km(
        lat1=first.latitude_deg, lon1=first.longitude_deg, lat2=second.latitude_deg, lon2=second.longitude_deg
    )
    assert 0.0995 < float(apart) < 0.1005
    savemat(root / "ACT_data.mat", {"panoIds": ids, "utm": utm})
    with pytest.raises(SourceError, match=r"ACT_data.mat: no variable 'trainSet'"):
        list(CvActLayout(root=root).pairs(tmp_path))
    savemat(root / "ACT_data.mat", {"panoIds": ids, "utm": utm, **sets, "valSet": {"a": "x", "b": np.array([4])}})
    with pytest.raises(SourceError, match=r"'valSet': row number 4 is outside 1 … 3"):
        list(CvActLayout(root=root).pairs(tmp_path))


@pytest.mark.parametrize("latitude", [-0.5, -20.0, -35.3, -60.0, -79.0])
def test_utm_on_the_central_meridian_is_the_arc_of_the_ellipse(latitude: float) -> None:
    """Independent of the series: the meridian's length by numerical integration."""
    a, f = 6378137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    end = np.radians(abs(latitude))
    arc, _ = quad(lambda phi: a * (1 - e2) / (1 - e2 * np.sin(phi) ** 2) ** 1.5, 0, end, epsabs=1e-9)
    found = utm_to_degrees(500_000, 10_000_000 - 0.9996 * arc, zone=55, south=True)
    assert found == pytest.approx((latitude, 147.0), abs=1e-8)


@pytest.fixture
def vigor(tmp_path: Path) -> Path:
    """In Chicago three panoramas 150 m apart in a row, each a semi-positive of the next; a fourth 2 km off."""
    root = tmp_path / "vigor"
    for folder, (latitude, longitude) in VIGOR_CITIES.items():
        east_m = (0, 150, 300, 2000) if folder == "Chicago" else (0,)
        here = {"latitude_deg": latitude, "longitude_deg": longitude, "bearing_deg": 90}
        places = [destination(**here, distance_km=m / 1000) for m in east_m]
        panoramas = [f"{folder}{n},{float(lat):.6f},{float(lon):.6f},.jpg" for n, (lat, lon) in enumerate(places)]
        tiles = [f"satellite_{float(lat)}_{float(lon)}.png" for lat, lon in places]
        tiles += [f"satellite_0_{n}.png" for n in (0, 1)]
        for number, name in enumerate(panoramas):
            picture(root / folder / "panorama" / name, number)
        for number, name in enumerate(tiles):
            picture(root / folder / "satellite" / name, number + 50, width=16)
        semi = {0: (1, -1, -2), 1: (0, 2, -1), 2: (1, -1, -2), 3: (-1, -2, -1)}
        shown = {n: (n, *(semi[n] if folder == "Chicago" else (-1, -1, -1))) for n in range(len(panoramas))}
        lines = [" ".join([name, *(f"{tiles[k]} 10.5 -20.25" for k in shown[n])]) for n, name in enumerate(panoramas)]
        write(root / "splits" / folder / "pano_label_balanced.txt", *lines)
    return root


def test_vigor(vigor: Path, tmp_path: Path) -> None:
    pairs = delivered(VigorLayout(root=vigor), tmp_path / "out")
    assert [pair.split for pair in pairs] == ["train", "train", "test", "test", "test", "test", "test"]
    assert {(pair.city, pair.split) for pair in pairs} == {
        ("New York", "train"), ("Seattle", "train"), ("Chicago", "test"), ("San Francisco", "test"),
    }  # fmt: skip
    assert pairs[2].pair_id == "vigor/Chicago/Chicago0"
    assert (pairs[2].latitude_deg, pairs[2].longitude_deg) == (41.9, -87.6)


def test_semi_positives_are_never_negatives(vigor: Path, tmp_path: Path) -> None:
    layout = VigorLayout(root=vigor)
    pairs = delivered(VigorLayout(root=vigor, split="test"), tmp_path / "out")
    by_id = {pair.pair_id: number for number, pair in enumerate(pairs)}
    tiles = {f"vigor/{entry.name}": entry.satellite for entry in layout.published()}
    shown = layout.shown_tiles()

    def offered(rule: NegativeRule) -> dict[str, set[str]]:
        near = Neighbourhoods(pairs, rule)
        return {pair_id: {pairs[k].pair_id for k in near.eligible(number)[0]} for pair_id, number in by_id.items()}

    careless = offered(NegativeRule())  # 120 m: the neighbour at 150 m shows the spot and would be offered
    assert "vigor/Chicago/Chicago1" in careless["vigor/Chicago/Chicago0"]
    careful = offered(layout.negative_rule())
    for pair_id, others in careful.items():
        assert not {tiles[other] for other in others} & shown[pair_id]
    assert careful["vigor/Chicago/Chicago0"] == {"vigor/Chicago/Chicago2", "vigor/Chicago/Chicago3"}


def test_questions_with_a_semi_positive_are_refused(vigor: Path) -> None:
    layout = VigorLayout(root=vigor)

    def question(*pair_ids: str) -> Question:
        names = [f"vigor/Chicago/{one}" for one in pair_ids]
        return Question(
            question_id="q",
            pair_id=names[0],
            source="vigor",
            split="test",
            ground_image="x",
            candidates=tuple(
                Candidate(letter=c, pair_id=one, satellite_image="x") for c, one in zip("ABC", names, strict=True)
            ),
            answer="A",
        )

    layout.check_questions([question("Chicago0", "Chicago2", "Chicago3")])
    with pytest.raises(SourceError, match="question 'q': option B also shows the panorama's spot"):
        layout.check_questions([question("Chicago0", "Chicago1", "Chicago3")])
    with pytest.raises(SourceError, match=r"'vigor/Chicago/elsewhere'. are no pairs of VIGOR"):
        layout.check_questions([question("Chicago0", "elsewhere", "Chicago3")])


def test_vigor_that_does_not_fit(vigor: Path, tmp_path: Path) -> None:
    path = vigor / "splits" / "Seattle" / "pano_label_balanced.txt"
    text = path.read_text()
    path.write_text(text.replace(",.jpg", ".jpg", 1))
    with pytest.raises(SourceError, match=r"pano_label_balanced.txt line 1, column 1: expected <id>,<latitude>"):
        list(VigorLayout(root=vigor).pairs(tmp_path))
    path.write_text(text.rsplit(" ", 1)[0])
    with pytest.raises(SourceError, match="line 1: expected 13 cells, got 12"):
        list(VigorLayout(root=vigor).pairs(tmp_path))


def test_cv_cities(tmp_path: Path) -> None:
    root = tmp_path / "cities"
    for number, (city, lon, lat) in enumerate((("captown", 18.4, -33.9), ("london", -0.12, 51.5))):
        line = f"n{number},{lon},{lat},{city},{city}/sat_images/n{number}.jpg,{city}/pano_images/n{number}.jpg"
        write(root / city / "img_info.csv", line)
        picture(root / city / "sat_images" / f"n{number}.jpg", number)
        picture(root / city / "pano_images" / f"n{number}.jpg", number + 9, width=64)
    train, test = delivered(pair_layout("cv-cities", root, panorama_px=(32, 16), tile_px=8), tmp_path / "out")
    assert (train.city, train.country_code, train.split) == ("Cape Town", "ZA", "train")
    assert (train.latitude_deg, train.longitude_deg) == (-33.9, 18.4)  # the file has longitude first
    assert (test.city, test.split, test.facts["country"]) == ("London", "test", "United Kingdom")
    with Image.open(tmp_path / "out" / train.satellite_image) as tile:
        assert tile.size == (8, 8)
    write(root / "london" / "img_info.csv", "n,51.5,-151.2,london,a,b")
    with pytest.raises(SourceError, match=r"img_info.csv line 1, column '3 \(latitude\)': expected degrees"):
        list(pair_layout("cv-cities", root).pairs(tmp_path))
    with pytest.raises(SourceError, match="found none of"):
        list(pair_layout("cv-cities", tmp_path / "absent").pairs(tmp_path))


@pytest.fixture
def geox(tmp_path: Path) -> Path:
    def tile(name: str, original: bool, location: str | None = None) -> dict[str, object]:
        image = {"file_path": f"18/{name}.jpg", "zoom_level": 18, "centered": False}
        return {"AerialImage": image | ({"real_location": location} if location else {}), "is_original": original}

    objects = [
        {
            "image_id": "0037557",
            "source": "CVUSA",
            "GroundImage": {
                "file_path": f"views/0037557{heading}.jpg",
                "fov": 90,
                "real_location": "43.0,-122.0",
                "orientation": heading,
            },
            "AerialCandidates": [
                tile("a", False, "44.0,-122.0"),
                tile("0037557", True),
                tile("b", False),
                tile("c", False),
            ],
        }
        for heading in "NE"
    ]
    for number, name in enumerate(("18/a", "18/b", "18/c", "18/0037557", "views/0037557N", "views/0037557E")):
        picture(tmp_path / "images" / f"{name}.jpg", number)
    (tmp_path / "index.json").write_text(json.dumps(objects))
    return tmp_path


def test_geox_bench(geox: Path) -> None:
    source = pair_layout("geox-bench", geox / "images", index=geox / "index.json")
    north, east = delivered(source, geox / "out")
    assert north.pair_id == "geox-bench/0037557_N" and (north.latitude_deg, north.longitude_deg) == (43.0, -122.0)
    assert north.satellite_image == east.satellite_image and north.ground_image != east.ground_image
    first, second = source.questions(geox / "out")
    assert [option.letter for option in first.candidates] == ["A", "B", "C", "D"] and first.answer == "B"
    assert first.candidates[1].satellite_image == north.satellite_image and first.candidates[1].pair_id == first.pair_id
    assert first.candidates[0].distance_m == pytest.approx(111_195, abs=1) and first.candidates[2].distance_m is None
    assert second.candidates[0].pair_id == first.candidates[0].pair_id and "18/" not in str(first)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"is_original": true', '"is_original": false', "object 1, 'AerialCandidates': expected one original, got 0"),
        ("43.0,-122.0", "43.0", "object 1, column 'real_location': expected degrees"),
        ('"GroundImage"', '"Ground"', "object 1: not as published (KeyError('GroundImage'))"),
        ("[", "", "index.json: not JSON"),
    ],
)
def test_geox_that_does_not_fit(geox: Path, old: str, new: str, message: str) -> None:
    path = geox / "index.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SourceError) as caught:
        list(pair_layout("geox-bench", geox / "images", index=path).pairs(geox / "out"))
    assert message in str(caught.value)
