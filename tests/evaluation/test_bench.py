"""The benchmark of scoring itself: cost grows no faster than the table, and the full figure holds."""

from __future__ import annotations

import sys

import pytest

from geor1.evaluation import bench
from geor1.evaluation.bench import measure, measure_apart, synthetic_columns
from geor1.evaluation.geolocation import score_columns


def test_the_table_is_what_it_says() -> None:
    score = score_columns(synthetic_columns(2000), resamples=20)
    assert score.n == 2000
    assert 20 < score.n_missed < 100
    assert 0.6 < score.names["country"].estimate < 0.95
    assert 1 < score.median_km.estimate < 2500


@pytest.mark.parametrize("clustering", bench.CLUSTERINGS)
def test_cost_grows_at_most_linearly(clustering: str) -> None:
    measure(1000, clustering=clustering, resamples=10)  # imports and first calls
    small, large = (measure(n, clustering=clustering, resamples=200) for n in (10_000, 100_000))
    assert large.cpu_s < 25 * small.cpu_s  # ten times the predictions; a quadratic cost would be a hundred
    assert large.clusters > 5 * small.clusters


def test_command_prints_a_line_a_size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "--sizes", "500", "--clusters", "city", "--resamples", "20"]
    monkeypatch.setattr(sys, "argv", arguments)
    bench.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["clusters:", "predictions", "500"]
    assert lines[2].split()[-1] == "1.00"


def test_unknown_clustering() -> None:
    with pytest.raises(ValueError, match="clustering='street'"):
        measure(100, clustering="street")


@pytest.mark.slow
@pytest.mark.parametrize("clustering", bench.CLUSTERINGS)
def test_a_million_predictions(clustering: str) -> None:
    """2,000 resamples in 20 s and 2 GB, at the better of two tries.

    On a busy machine the seconds are others', so processor seconds of all threads together count instead: they are at
    least what one free core would need.
    """
    timings = [measure_apart(1_000_000, clustering=clustering) for _ in range(2)]
    assert {timing.n for timing in timings} == {1_000_000}
    assert min(min(timing.wall_s, timing.cpu_s) for timing in timings) < 20
    assert max(timing.peak_mb for timing in timings) < 2000
