"""No negative shows the camera: separations by hand, the tiles of each data set, and what the stage makes of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from geor1.geodesy import EARTH_RADIUS_KM, haversine_km
from geor1.records import Question, read_jsonl
from geor1.runs import ConfigError
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.layouts.registry import pair_layout
from geor1.synthesis.run import run_synthesis
from geor1.synthesis.separation import Separation, decide, half_diagonal, mercator_edge_m, of_questions
from geor1.synthesis.sources import SourceError
from geor1.synthesis.world_source import WorldSource

from .layout_cases import cv_cities, cvusa, picture, university

QUIET = {"pairing_scaffolds": 0, "geolocation_scaffolds": 0, "parquet": False, "probes": False, "workers": 1}
OWN_SIZE = {"tile_px": 0, "panorama_width_px": 0, "panorama_height_px": 0}


def test_edges_by_hand() -> None:
    whole_earth_m = 2 * math.pi * 6_378_137.0
    assert mercator_edge_m(256, zoom=0, latitude_deg=0.0) == pytest.approx(whole_earth_m)
    assert mercator_edge_m(256, zoom=1, latitude_deg=60.0) == pytest.approx(whole_earth_m / 4)
    for latitude_deg, metres_per_px in ((40.71, 0.113248), (47.61, 0.100817), (37.77, 0.118141), (41.88, 0.111262)):
        edge_m = mercator_edge_m(640, zoom=20, latitude_deg=latitude_deg)  # VIGOR's cities, by tudelft-iv/CCVPE
        assert edge_m == pytest.approx(640 * metres_per_px, rel=0.01)


def test_the_separation_by_hand() -> None:
    assert half_diagonal(0.0) is None
    assert half_diagonal(100.0) == Separation(70.8, "half the diagonal of a tile of 100.0 m (tile_extent_m)")
    assert half_diagonal(0.0, 200.0, "the authors").why == "half the diagonal of a tile of 200.0 m (the authors)"
    assert half_diagonal(100.0, 200.0, "the authors").least_m == 70.8  # what the user states goes before
    assert half_diagonal(100.0, off_centre=0.25).least_m == 106.1


@pytest.mark.parametrize("latitude_deg", [0.0, 37.6, -35.3, 60.0])
def test_a_camera_farther_off_is_outside_the_tile(latitude_deg: float) -> None:
    """Whatever the direction, by degrees on the map; half a metre nearer, one in the corner is inside."""
    edge_m = mercator_edge_m(750, zoom=19, latitude_deg=latitude_deg)
    half_deg = math.degrees(edge_m / 2 / 6_378_137.0)
    least_m = half_diagonal(edge_m).least_m
    east, north = np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-1, 1, 201))
    inside_m = 1000 * haversine_km(
        lat1=latitude_deg,
        lon1=0.0,
        lat2=latitude_deg + north * half_deg,
        lon2=east * half_deg / math.cos(math.radians(latitude_deg)),
    )
    assert least_m - 0.7 < inside_m.max() < least_m and EARTH_RADIUS_KM < 6378.137


def test_what_each_data_set_knows(tmp_path: Path) -> None:
    known = {name: pair_layout(name, tmp_path).separation(0.0) for name in ("cvusa", "cvact")}
    assert {name: one.least_m for name, one in known.items()} == {"cvusa": 144.7, "cvact": 103.7}
    assert "24° north" in known["cvusa"].why and "Canberra" in known["cvact"].why
    for name in ("cv-cities", "university-1652"):
        assert pair_layout(name, tmp_path).separation(0.0) is None
        assert pair_layout(name, tmp_path).separation(100.0).least_m == 70.8
    assert pair_layout("cvact", tmp_path).separation(73.0).least_m == 51.7
    assert WorldSource(train_pairs=1, test_pairs=1).separation(0.0).least_m == 120.0


def test_what_the_user_states_is_held_against_the_tiles(tmp_path: Path) -> None:
    canberra, paris = pair_layout("cvact", tmp_path), pair_layout("cv-cities", tmp_path)
    assert decide(0.0, 0.0, [canberra]).least_m == 103.7 and decide(0.0, 0.0, [paris]) is None
    assert decide(0.0, 0.0, [canberra, paris]) is None and decide(0.0, 200.0, [canberra, paris]).least_m == 141.5
    assert decide(150.0, 0.0, [canberra]).why.startswith("min_separation_m; at least 103.7: half the diagonal")
    assert decide(90.0, 0.0, [paris]).why == "min_separation_m; what a tile shows is not known: unchecked"
    with pytest.raises(
        SourceError, match=r"min_separation_m=100: expected at least 103.7, half the diagonal.*leave it"
    ):
        decide(100.0, 0.0, [canberra])
    assert decide(100.0, 140.0, [canberra]).least_m == 100.0
    with pytest.raises(ConfigError, match=r"min_separation_m=70.0: expected at least 70.8, half the diagonal.*, or 0"):
        SynthesisConfig(tile_extent_m=100.0, min_separation_m=70.0)
    with pytest.raises(ConfigError, match="tile_extent_m=-1"):
        SynthesisConfig(tile_extent_m=-1.0)


def synthesise(source: str, root: Path, out: Path, **settings: object) -> Path:
    return run_synthesis(
        SynthesisConfig(source=source, source_path=str(root), **{**QUIET, **OWN_SIZE, **settings}), out
    )


def test_the_stage_asks_says_and_keeps_it(tmp_path: Path) -> None:
    root = cv_cities(tmp_path / "data", 12, cities=("paris",))
    with pytest.raises(SourceError, match=r"pair 'cv-cities/paris/0': how much ground .* set tile_extent_m"):
        synthesise("cv_cities", root, tmp_path / "none")
    made = synthesise("cv_cities", root, tmp_path / "out", tile_extent_m=300.0)  # half the diagonal: 212.2 m
    report = json.loads((made / "report.json").read_text())
    assert report["separation"] == {
        "least_m": 212.2,
        "why": "half the diagonal of a tile of 300.0 m (tile_extent_m)",
    }
    away = [o.distance_m for q in read_jsonl(made / "questions_train.jsonl", Question) for o in q.candidates]
    assert min(m for m in away if m) > 399.0 and "212.2 to 4000 m away" in (made / "README.md").read_text()
    with pytest.raises(SourceError, match=r"negatives of cv_cities: min_separation_m=5656.*half the diagonal"):
        synthesise("cv_cities", root, tmp_path / "far", tile_extent_m=8000.0)


def test_a_source_that_knows_needs_no_word(tmp_path: Path) -> None:
    file = picture(tmp_path / "one.jpg", 1)
    made = synthesise("cvusa", cvusa(tmp_path / "data", [(file, file)] * 6), tmp_path / "out")
    assert json.loads((made / "report.json").read_text())["separation"]["least_m"] == 144.7


def test_without_positions_nothing_is_asked(tmp_path: Path) -> None:
    made = synthesise("university_1652", university(tmp_path / "data"), tmp_path / "out")
    report = json.loads((made / "report.json").read_text())
    assert report["separation"] == {"least_m": None, "why": "no pair has a position"}


def test_questions_that_are_given_keep_their_distance(tmp_path: Path) -> None:
    made = synthesise("cv_cities", cv_cities(tmp_path / "data", 12), tmp_path / "out", tile_extent_m=250.0)
    questions = read_jsonl(made / "questions_train.jsonl", Question)
    nearest = min(o.distance_m for q in questions for o in q.candidates if o.letter != q.answer)
    assert of_questions(questions) == Separation(nearest, "nearest wrong option of the questions given")
    assert of_questions([]) is None
