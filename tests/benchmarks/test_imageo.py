"""IMAGEO: label defects flagged, replies read and scored as the importers do on the published outputs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from benchmark_cases import picture, write

from geor1.answers import IMAGE_MARKER, ParseFailure
from geor1.benchmarks import imageo
from geor1.benchmarks.items import BenchmarkError, Item, Reply
from geor1.benchmarks.registry import benchmark
from geor1.evaluation.importers import read_imageo, read_imageo_replies

MODELS = ("gpt-4.1", "gemini-2.5-pro", "claude-3-5-haiku-20241022", "Llama-3.2-90B-Vision-Instruct-Turbo")
GSS_HEADER = (
    "image_id,source,orig_id,url,label_method,city,city_id,country,continent,latitude,longitude,datetime_local,"
    "sequence_index,sequence_id,split,img_path,glare,lighting_condition,pano_status,platform,quality,reflection,"
    "view_direction,weather"
)
UPC_HEADER = "image_id,name,address,gmap_id,description,latitude,longitude,category,street,city,state"
JSON_REPLY = {
    "image_information": {"environment": "outdoor"},
    "reverse_geocoding": {
        "confidence": "4",
        "address": {"street": None, "city": "Paris", "state": None, "country": "France"},
        "coordinates": {"latitude": "48.85° N", "longitude": 2.35},
    },
}


@pytest.fixture
def pcw(real_data: Path, tmp_path: Path) -> list[Item]:
    shutil.copy(real_data / "imageo" / "pcw_labels.csv", tmp_path / imageo.FILES["imageo-pcw"])
    return benchmark("imageo-pcw").load(tmp_path)


def test_published_private_labels(pcw: list[Item]) -> None:
    assert len(pcw) == 270
    flags = Counter(flag for item in pcw for flag in item.flags)
    assert (flags["no_city"], flags["no_state"], flags["no_street"], flags["no_image"]) == (11, 30, 3, 270)
    assert len({(item.latitude_deg, item.longitude_deg) for item in pcw}) == 211
    assert len({item.cluster for item in pcw}) == 155  # cells by floor
    assert Counter(item.slices["country"] for item in pcw)["USA"] == 226


@pytest.mark.parametrize("model", MODELS)
def test_published_replies_score_as_the_importer_scores_them(pcw: list[Item], real_data: Path, model: str) -> None:
    results = real_data / "imageo" / f"pcw_{model}.jsonl"
    known = {item.item_id for item in pcw}
    said = [
        Reply(item_id=one.image_id, question=imageo.QUESTION, raw=one.raw)
        for one in read_imageo_replies(results)
        if one.image_id in known and one.error is None
    ]
    ours = imageo.predictions(pcw, said, model=model)
    theirs = read_imageo(results, real_data / "imageo" / "pcw_labels.csv")
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.item_id, mine.latitude_deg, mine.longitude_deg, mine.city, mine.country) == (
            other.item_id, other.latitude_deg, other.longitude_deg, other.city, other.country,
        )  # fmt: skip
        assert mine.status == other.status or (mine.status, other.status) == ("missing", "api_error")
    expected = json.loads((real_data / "expected.json").read_text())["imageo_pcw_strict"][model]
    scored = imageo.score(pcw, said, model=model, resamples=20)
    for name, value in expected.items():
        assert scored.strict[name] == pytest.approx(value, abs=5e-5), name
    assert scored.location.n == 270 and scored.flags["no_city"] == 11


def test_street_scenes(tmp_path: Path) -> None:
    row = "{id},Mapillary,{orig},u,m,Kőszeg,1,Hungary,Europe,47.4,16.5,,0,{seq},train,p,,day,,,,,front,clear"
    write(
        tmp_path / imageo.FILES["imageo-gss"],
        GSS_HEADER,
        row.format(id="a", orig="818314000000000.0", seq="s1"),
        row.format(id="b", orig="1362331837.0", seq="#NAME?"),
        row.format(id="c", orig="123", seq="s1").replace("47.4", "47.5"),
    )
    picture(tmp_path / "images" / "a.jpeg", 1)
    a, b, c = benchmark("imageo-gss").load(tmp_path)
    assert a.images == ("images/a.jpeg",) and a.flags == ("orig_id_rounded", "shared_coordinates")
    assert b.flags == ("sequence_unknown", "shared_coordinates", "no_image") and c.flags == ("no_image",)
    assert a.cluster == "s1" == c.cluster and b.cluster == "4740,1650"
    assert a.truth == {"city": "Kőszeg", "country": "Hungary"} and a.slices["lighting"] == "day"


def test_places_with_spoilt_labels_stay_in(tmp_path: Path) -> None:
    write(
        tmp_path / imageo.FILES["imageo-upc"],
        UPC_HEADER,
        '1_x,N,"N, Montgomery, AL 36104",g,,32.37,-86.3,c,s,Montgomery,AL',
        '2_x,N,"N, AL 35203, United States",g,,33.5,-86.8,c,s,AL 35203,',
        '3_x,N,"N, Boston",g,,28.6478898,180.0,c,s,,MA',
    )
    first, second, third = benchmark("imageo-upc").load(tmp_path)
    assert first.flags == ("no_image",)
    assert second.flags == ("no_state", "postcode_for_city", "no_image")
    assert third.flags == ("no_city", "placeholder_coordinates", "no_image")
    scored = imageo.score([first, second, third], [], model="m", resamples=10)
    left = imageo.score([first, second, third], [], model="m", without_flags=["placeholder_coordinates"], resamples=10)
    assert (scored.location.n, left.location.n) == (3, 2) and scored.location.n_missed == 3


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path / imageo.FILES["imageo-upc"], UPC_HEADER, "1_x,N,A,g,,north,-86.3,c,s,Montgomery,AL")
    with pytest.raises(
        BenchmarkError, match=r"dataset2_info.csv row 1, column 'latitude': expected a number, got 'north'"
    ):
        imageo.load_upc(tmp_path)
    with pytest.raises(BenchmarkError, match=r"dataset1_info.csv: no such file"):
        imageo.load_gss(tmp_path)


@pytest.mark.parametrize("wrap", ["{}", "```json\n{}\n```", "Here it is: {} I hope it helps."])
def test_replies_as_models_write_them(wrap: str) -> None:
    found = imageo.parse("address", wrap.replace("{}", json.dumps(JSON_REPLY)))
    assert isinstance(found, imageo.Address)
    assert (found.latitude_deg, found.longitude_deg, found.status) == (48.85, 2.35, "ok")
    assert (found.city, found.state, found.country, found.confidence) == ("Paris", None, "France", 4)


@pytest.mark.parametrize(
    ("latitude", "longitude", "status"),
    [
        ("48.85", "2.35", "ok"),
        (None, 2.35, "no_coordinates"),
        ("No GPS data available", "", "no_coordinates"),
        (0.0, 0.0, "no_coordinates"),
        (0.0, 9.4, "ok"),
        (121.47, 31.23, "swapped"),
        (121.47, 195.0, "out_of_range"),
        (True, 2.0, "no_coordinates"),
    ],
)
def test_coordinates_that_cannot_be_used(latitude: object, longitude: object, status: str) -> None:
    geocoding = {"confidence": 9, "coordinates": {"latitude": latitude, "longitude": longitude}}
    found = imageo.parse("address", json.dumps({"reverse_geocoding": geocoding}))
    assert found.status == status and found.confidence is None and (found.latitude_deg is None) == (status != "ok")


def test_replies_without_the_object() -> None:
    assert imageo.parse("address", "  ") is ParseFailure.EMPTY
    assert imageo.parse("address", "**Location:** Paris") is ParseFailure.NO_ANSWER
    assert imageo.parse("address", '{"reverse_geocoding": "Paris"}').status == "no_coordinates"


def test_the_prompt_asks_for_what_is_read(tmp_path: Path) -> None:
    (prompt,) = benchmark("imageo-pcw").prompts(tmp_path).values()
    assert prompt.count(IMAGE_MARKER) == 1
    for field in ("reverse_geocoding", "confidence", "address", "city", "state", "country", "latitude", "longitude"):
        assert f'"{field}"' in prompt
