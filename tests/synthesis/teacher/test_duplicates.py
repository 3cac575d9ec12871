"""Near-duplicates: the same as by comparing all with all, and in linear time."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geor1.synthesis.teacher.duplicates import SHINGLE_WORDS, Shingler, jaccard, near_duplicates


def words(text: str) -> set[tuple[str, ...]]:
    """Shingles as tuples of words, the definition."""
    split = text.split()
    length = min(SHINGLE_WORDS, len(split))
    return {tuple(split[place : place + length]) for place in range(len(split) - length + 1)} if split else set()


def by_comparing_all(texts: list[str], threshold: float) -> list[int | None]:
    sets, kept, found = [words(text) for text in texts], [], []
    for number, one in enumerate(sets):
        alike = [k for k in kept if (len(one & sets[k]) / len(one | sets[k]) if one | sets[k] else 1.0) >= threshold]
        found.append(alike[0] if alike else None)
        kept += [] if alike else [number]
    return found


def test_hand_computed() -> None:
    shingler = Shingler()
    one, other = shingler("a b c d e f g"), shingler("a b c d e f h")  # 3 shingles each, 2 shared
    assert jaccard(one, other) == pytest.approx(2 / 4)
    assert near_duplicates([one, other], 0.5) == [None, 0]
    assert near_duplicates([one, other], 0.51) == [None, None]
    assert near_duplicates([shingler(""), one, shingler("  ."), one], 1.0) == [None, None, 0, 1]
    assert list(shingler("A b, c d e!")) == list(shingler("a B c; d e"))
    with pytest.raises(ValueError, match=r"threshold=0\.0"):
        near_duplicates([], 0.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcde"), max_size=14).map(" ".join), max_size=14),
    st.sampled_from([0.2, 0.5, 0.75, 0.8, 0.9, 1.0]),
)
def test_nothing_is_missed_and_nothing_made_up(texts: list[str], threshold: float) -> None:
    shingler = Shingler()
    assert near_duplicates([shingler(text) for text in texts], threshold) == by_comparing_all(texts, threshold)


def documents(count: int, seed: int = 0) -> list[str]:
    """Chains of 300 words: a fifth of each is said by all, every tenth is an earlier one with a few words changed."""
    rng = np.random.default_rng(seed)
    said_by_all = [f"all{k}" for k in range(60)]
    texts: list[list[str]] = []
    for number in range(count):
        if number % 10 == 9:
            copy = list(texts[rng.integers(len(texts))])
            for place in rng.integers(60, 300, size=3):
                copy[place] = "changed"
            texts.append(copy)
        else:
            texts.append(said_by_all + [f"w{k}" for k in rng.zipf(1.3, 240) % 20_000])
    return [" ".join(text) for text in texts]


def test_time_grows_with_the_number_of_texts() -> None:
    spent = []
    gc.collect()
    gc.disable()  # its passes over all that other tests left behind grow with what is allocated here
    try:
        for count in (2_000, 8_000):
            shingler, runs = Shingler(), []
            signatures = [shingler(text) for text in documents(count)]
            for _ in range(3):
                began = time.process_time()
                found = near_duplicates(signatures, 0.8)
                runs.append(time.process_time() - began)
            spent.append(min(runs))
            assert sum(one is not None for one in found) >= 0.09 * count
    finally:
        gc.enable()
    print(f"\n2,000 texts {spent[0]:.2f} s, 8,000 texts {spent[1]:.2f} s: {spent[1] / spent[0]:.1f} times")
    assert spent[1] < 12 * spent[0]  # linear: 4 times, more where caches are shared; every pair compared: 16 times
