"""Tables with errors that name the cell, names that mean the same, and what the registry promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmark_cases import picture, write
from hypothesis import given
from hypothesis import strategies as st

from geor1.benchmarks.items import BenchmarkError, Item, Reply, image_index, read_table, replies_by_key
from geor1.benchmarks.names import city_name, country_name, division_name, fold, language_names
from geor1.benchmarks.registry import BENCHMARKS, PAIR_LAYOUTS, benchmark, pair_layout
from geor1.runs.errors import ConfigError


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,c", "1,2"], "t.csv: column 'b' is missing; expected ['a', 'b'], found ['a', 'c']"),
        (["a,b"], "t.csv: expected rows below the header, found none"),
        (["a,b", "1,2", "3"], "t.csv row 2: expected 2 cells as in the header; was the file cut?"),
        (["a,b", "1,2,3"], "t.csv row 1: expected 2 cells as in the header; was the file cut?"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(BenchmarkError) as caught:
        read_table(write(tmp_path / "t.csv", *lines), ("a", "b"))
    assert str(caught.value) == message


def test_a_cell_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "latitude,longitude", "95.5,10", "x,10", "nan,10")
    first, second, third = read_table(path, ("latitude", "longitude"))
    with pytest.raises(
        BenchmarkError, match=r"t.csv row 1, columns 'latitude' and 'longitude': lat_deg=95.5 is outside"
    ):
        first.position()
    with pytest.raises(BenchmarkError, match=r"t.csv row 2, column 'latitude': expected a number, got 'x'"):
        second.position()
    with pytest.raises(BenchmarkError, match=r"row 3, column 'latitude': expected a number, got 'nan'"):
        third.number("latitude")
    with pytest.raises(BenchmarkError, match="no such file; `geor1 data list`"):
        read_table(tmp_path / "absent.csv", ())


def test_replies_belong_to_items_once() -> None:
    item = Item(
        benchmark="b", item_id="1", images=(), truth={}, latitude_deg=0, longitude_deg=0, slices={}, cluster="c"
    )
    one = Reply(item_id="1", question="q", raw="x")
    assert replies_by_key([one], [item]) == {("1", "q"): "x"}
    with pytest.raises(BenchmarkError, match="two replies"):
        replies_by_key([one, one], [item])
    with pytest.raises(BenchmarkError, match="reply to item '2': no such item"):
        replies_by_key([Reply(item_id="2", question="q", raw="x")], [item])


def test_images_are_found_anywhere_below(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "one.jpg", 1)
    picture(tmp_path / "two.jpeg", 2)
    write(tmp_path / "three.csv", "x")
    assert image_index(tmp_path) == {"one": "a/one.jpg", "two": "two.jpeg"}


@pytest.mark.parametrize(
    ("reader", "same", "different"),
    [
        (country_name, ["USA", "U.S.A.", "the United States of America", "America"], "Mexico"),
        (country_name, ["Russian Federation", "Russia", "RUSSIA "], "Belarus"),
        (country_name, ["Türkiye", "Turkey"], "Turkmenistan"),
        (country_name, ["Niger"], "Nigeria"),
        (city_name, ["saopaulo", "São Paulo", "Sao Paulo"], "Santo Andre"),
        (city_name, ["cph", "København", "Copenhagen"], "Malmo"),
        (city_name, ["sf", "San Francisco"], "San Jose"),
        (city_name, ["Zürich", "Zuerich", "Zurich"], "Zug"),
        (division_name, ["TX", "Texas", "State of Texas"], "Tennessee"),
        (division_name, ["Île-de-France", "Ile de France"], "Isere"),
        (division_name, ["Moscow", "City of Moscow", "Moskva"], "Moscow Oblast"),
        (language_names, ["English, French", "French and English", "français / English"], "English"),
    ],
)
def test_names_that_mean_the_same(reader, same: list[str], different: str) -> None:
    assert len({reader(name) for name in same}) == 1
    assert reader(different) != reader(same[0])


@given(st.text(max_size=40))
def test_folding_is_idempotent_and_never_fails(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded or folded.startswith("the ")
    for reader in (country_name, city_name, division_name, language_names):
        reader(text)


def test_registry() -> None:
    assert benchmark("geochain").load is BENCHMARKS["geochain"].load
    assert set(PAIR_LAYOUTS) == {"cvusa", "cvact", "vigor", "cv-cities", "geox-bench", "university-1652"}
    with pytest.raises(ConfigError, match="did you mean 'geochain'"):
        benchmark("geochian")
    with pytest.raises(ConfigError, match="did you mean 'vigor'"):
        pair_layout("vigour", ".")


def test_benchmarks_load_no_torch() -> None:
    code = "import sys, geor1.benchmarks.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_stage_imports_benchmarks() -> None:
    package = Path(__file__).resolve().parents[2] / "geor1"
    others = [path for path in package.rglob("*.py") if "benchmarks" not in path.parts and path.name != "cli.py"]
    assert not [path for path in others if "geor1.benchmarks" in path.read_text(encoding="utf-8")]
