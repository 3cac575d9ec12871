"""Which names are the same place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1.evaluation.names import imageo_state
from geor1.names import fold_country, fold_state, fold_text, merged


@pytest.mark.parametrize(
    "names",
    [
        ("USA", "U.S.A.", "US", "u.s.", "United States", "The United States of America", " united  states "),
        ("UK", "U.K.", "United Kingdom", "Great Britain", "the United Kingdom"),
        ("Czechia", "Czech Republic", "The Czech Republic"),
        ("Turkey", "Türkiye", "Turkiye", "TÜRKİYE"),
        ("Congo (Kinshasa)", "Democratic Republic of the Congo", "DR Congo", "DRC"),
        ("Congo (Brazzaville)", "Republic of the Congo", "Congo"),
        ("The Bahamas", "Bahamas", "Bahamas, The"),
        ("Russia", "Russian Federation"),
        ("Korea", "South Korea", "Republic of Korea", "Korea, Republic of"),
        ("Côte d'Ivoire", "Cote d’Ivoire", "Ivory Coast"),
        ("Falkland Islands (Islas Malvinas)", "Falkland Islands"),
        ("Hong Kong SAR", "Hong Kong"),
        ("Réunion", "Reunion"),
    ],
)
def test_names_of_one_country(names: tuple[str, ...]) -> None:
    assert len({fold_country(name) for name in names}) == 1


def test_different_countries_stay_different() -> None:
    names = [
        "China", "Hong Kong", "Macau", "Taiwan", "North Korea", "South Korea", "Congo", "DR Congo", "Niger", "Nigeria",
        "Guinea", "Guinea-Bissau", "Equatorial Guinea", "Dominica", "Dominican Republic", "Ireland", "United Kingdom",
        "England", "Puerto Rico", "USA", "US Virgin Islands", "Georgia", "Sudan", "South Sudan", "West Bank",
    ]  # fmt: skip
    assert len({fold_country(name) for name in names}) == len(names)


def test_merges_are_asked_for() -> None:
    fold = merged({"Hong Kong": "China", "Puerto Rico": "USA"})
    assert fold("Hong Kong SAR") == fold("People's Republic of China")
    assert fold("puerto rico") == fold("United States")
    assert fold("Taiwan") != fold("China")
    assert fold_country("Hong Kong") != fold_country("China")


def test_states_and_cities() -> None:
    assert fold_state("NV") == fold_state("nevada ") == "nevada"
    assert fold_state("DC") == fold_state("Washington, D.C.") == fold_state("District of Columbia")
    assert fold_state("Île-de-France") == fold_state("Ile de France")
    assert fold_text("Kőszeg") == fold_text("koszeg")
    assert fold_text("Łódź") == fold_text("LODZ")
    assert fold_text("São Paulo") == fold_text("Sao Paulo")
    assert fold_text("Reno") != fold_text("Rena")
    assert fold_text("東京") == "東京"
    assert fold_text(" -. ") == ""


def test_imageo_state_is_theirs() -> None:
    assert [imageo_state(text) for text in ("Nevada", "nv", " NEVADA ", "District of Columbia", "Ontario")] == [
        "NV", "NV", "NV", "DISTRICT OF COLUMBIA", "ONTARIO",
    ]  # fmt: skip


@given(st.text(max_size=20))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold_text(fold_text(text)) == fold_text(text)
    assert fold_country(fold_country(text)) == fold_country(text)
