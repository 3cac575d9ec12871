"""Parameters of stage 01."""

from __future__ import annotations

import dataclasses
from typing import Any

from geor1.runs import ConfigError
from geor1.synthesis.negative_rule import DIFFICULTIES, Band, NegativeRule
from geor1.synthesis.probes import ALARMS
from geor1.synthesis.questions import MAX_CANDIDATES
from geor1.synthesis.scaffolds import CONCLUSIONS
from geor1.synthesis.separation import half_diagonal
from geor1.synthesis.teacher.config import TeacherConfig

LAYOUTS = {
    "cv_cities": "cv-cities",
    "cvusa": "cvusa",
    "cvact": "cvact",
    "vigor": "vigor",
    "university_1652": "university-1652",
}
"""Source -> published layout that it reads (:mod:`geor1.synthesis.layouts`)."""
SOURCES = ("world", "folder", "authors_jsonl", *LAYOUTS, "geox_bench", "hf_dataset")
_WITHOUT = {
    "pairs_per_city": ("world", "authors_jsonl", "geox_bench"),
    "columns": tuple(source for source in SOURCES if source != "hf_dataset"),
}
TEACHERS = {"openai": "server", "vllm": "vllm"}
"""Teacher -> back-end that answers; ``world`` writes from metadata and asks nobody."""
PATCH_PX = 28
"""Qwen2.5-VL sees patches of 14 pixels merged two by two, so sizes that are multiples of 28 are not resized again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """What to synthesise.

    Attributes:
        source: ``world`` renders the miniature Earth; ``folder`` reads pairs from ``source_path``; ``authors_jsonl``
            and ``geox_bench`` read a question file at ``source_path``; ``hf_dataset`` streams a Hugging Face dataset;
            ``cv_cities``, ``cvusa``, ``cvact``, ``vigor`` and ``university_1652`` read these data sets as published.
        source_path: Folder or file of the source, or a dataset's name on the Hub; unused by ``world``.
        source_split: Split of everything that a source does not assign itself; of CVACT, whose splits are of one city,
            the one to read.
        image_folder: Where image paths of a question file or dataset start; empty means the file's own folder.
        columns: What the columns of an ``hf_dataset`` are called, as in ``{panorama: ground, tile: aerial}``; see
            :mod:`geor1.synthesis.hf_source`.
        dataset_subset: Configuration of an ``hf_dataset``; empty for its only one.
        dataset_split: Split of an ``hf_dataset`` to read.
        dataset_revision: Commit or tag of an ``hf_dataset``; empty for the newest.
        pairs_per_city: Read at most so many pairs of each city and split, a seeded choice (1,000 of 16 cities make the
            paper's 16,000); 0 reads all. Not for ``world`` and question files.
        questions_per_city: Ask about at most so many panoramas of each city and split, a seeded choice, with the tiles
            of all pairs read as negatives; 0 asks about all.
        skip_broken: Leave out rows whose cells or images cannot be used (counted and named in ``report.json``) instead
            of stopping.
        pairs_folder: Folder of further, real pairs (or of several such folders) that become ``questions_real.jsonl``;
            empty for none.
        train_pairs: Pairs of train cities (``world``).
        test_pairs: Pairs of test cities (``world``).
        scenes_per_neighbourhood: Fewest scenes rendered together (``world``); at least ``candidates`` + 1.
        candidates: K, options of a question.
        questions_per_pair: Questions about each train panorama; test panoramas are asked about once.
        tile_extent_m: Ground along the edge of a tile, where the source does not know it (CV-Cities, University-1652,
            folders, Hugging Face datasets) or less of it is shown than it knows; 0 states nothing.
        min_separation_m: Nearest negative; 0 derives it, half the diagonal of a tile, so that none contains the camera
            (:mod:`geor1.synthesis.separation`). Less than that is an error.
        max_radius_m: Farthest negative.
        difficulty: ``easy``, ``mixed`` or ``hard`` negatives, by directions shared with the truth or by ``embeddings``.
            Without ``share_sets`` only ``mixed`` leaves nothing in the tiles: chosen by their likeness to the truth,
            the others tell which tile stands in the middle (``hard``) or apart (``easy``), and the probes say so.
        share_sets: Ask about each set of K tiles K times, once for each of its places, so that the set says nothing of
            the answer, however its tiles were chosen. Places that no set has room for are left out (counted), and the
            K questions of a set are no independent samples; stage 04 resamples sets as wholes.
        bands: Rings of distance and their shares of the negatives, ``[[from_m, to_m, share], …]``; empty for one ring.
            A narrow near ring puts the truth in the middle of its negatives, which the probes may see. Not with
            ``share_sets``, whose tiles stand at as many distances as there are places to ask about.
        same: Facts (or ``city``) in which a negative must agree with the truth, where both are known.
        embeddings: ``.npy`` file, float [pairs, D], a row for each line of ``pairs.jsonl``; empty for none.
        skip_isolated: Leave out pairs with too few negatives (counted) instead of stopping.
        pairing_scaffolds: Unmatched pairing chains written, before the fact check.
        geolocation_scaffolds: Geolocation chains written, before the fact check.
        labelled_scaffolds: Labelled pairing chains written for the control, before the fact check.
        conclusion: How an unmatched chain concludes: ``random``, or ``most_same`` matches by its own words.
        lookalikes: Share of unmatched chains with one tile of another neighbourhood that resembles the panorama's.
        teacher_error_rate: Share of chains with one false fact, for the fact check to find.
        coordinate_tolerance_km: How far coordinates of a chain may lie from the truth.
        tile_px: Edge of the satellite tiles; 0 keeps a folder's own sizes.
        panorama_width_px: Width of the panoramas; 0 keeps a folder's own sizes.
        panorama_height_px: Height of the panoramas.
        jpeg_quality: Of every image written.
        teacher: Who writes the scaffolds: ``world`` from metadata, ``openai`` a served model, ``vllm`` a model in this
            process. The counts of scaffolds above are ``world``'s; ``labelled_scaffolds`` are its in any case.
        teaching: How a teacher other than ``world`` is asked and what is kept; ``teacher`` decides its ``backend``.
        parquet: Also write Parquet files with the images inside.
        probes: Try whether anything but content tells the right tile (``geor1.synthesis.probes``).
        probe_alarm: ``warn`` logs a leak that the probes find, ``stop`` ends the stage with an error.
        seed: Decides everything drawn.
        workers: Processes that render, threads that read images; changes no result.
    """

    source: str = "world"
    source_path: str = ""
    source_split: str = "test"
    image_folder: str = ""
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    dataset_subset: str = ""
    dataset_split: str = "train"
    dataset_revision: str = ""
    pairs_per_city: int = 0
    questions_per_city: int = 0
    skip_broken: bool = False
    pairs_folder: str = ""
    train_pairs: int = 2000
    test_pairs: int = 400
    scenes_per_neighbourhood: int = 12
    candidates: int = 5
    questions_per_pair: int = 1
    tile_extent_m: float = 0.0
    min_separation_m: float = 0.0
    max_radius_m: float = 4000.0
    difficulty: str = "mixed"
    share_sets: bool = False
    bands: tuple[tuple[float, float, float], ...] = ()
    same: tuple[str, ...] = ("city", "season")
    embeddings: str = ""
    skip_isolated: bool = False
    pairing_scaffolds: int = 2000
    geolocation_scaffolds: int = 1000
    labelled_scaffolds: int = 0
    conclusion: str = "random"
    lookalikes: float = 0.5
    teacher_error_rate: float = 0.1
    coordinate_tolerance_km: float = 100.0
    tile_px: int = 84
    panorama_width_px: int = 224
    panorama_height_px: int = 56
    jpeg_quality: int = 92
    teacher: str = "world"
    teaching: TeacherConfig = dataclasses.field(default_factory=TeacherConfig)
    parquet: bool = True
    probes: bool = True
    probe_alarm: str = "warn"
    seed: int = 0
    workers: int = 2

    def __post_init__(self) -> None:
        _one_of("source", self.source, SOURCES)
        _one_of("source_split", self.source_split, ("train", "test"))
        _one_of("difficulty", self.difficulty, DIFFICULTIES)
        if self.share_sets and self.bands:
            _refuse("bands", self.bands, "none with share_sets")
        _one_of("conclusion", self.conclusion, CONCLUSIONS)
        _one_of("teacher", self.teacher, ("world", *TEACHERS))
        if self.teacher != "world" and not self.teaching.model:
            _refuse("teaching.model", "", f"the model to ask, as teacher is {self.teacher!r}")
        _one_of("probe_alarm", self.probe_alarm, ALARMS)
        _between("candidates", self.candidates, 2, MAX_CANDIDATES)
        _between("questions_per_pair", self.questions_per_pair, 1, 1000)
        _between("lookalikes", self.lookalikes, 0.0, 1.0)
        _between("teacher_error_rate", self.teacher_error_rate, 0.0, 1.0)
        _between("jpeg_quality", self.jpeg_quality, 1, 95)
        _between("workers", self.workers, 1, 256)
        _between("seed", self.seed, 0, 2**20)
        counts = ("train_pairs", "test_pairs", "pairing_scaffolds", "geolocation_scaffolds", "labelled_scaffolds")
        counts += ("pairs_per_city", "questions_per_city")
        for name in (*counts, "coordinate_tolerance_km", "tile_extent_m", "min_separation_m"):
            _between(name, getattr(self, name), 0, float("inf"))
        if not self.min_separation_m < self.max_radius_m:
            _refuse("max_radius_m", self.max_radius_m, f"more than min_separation_m={self.min_separation_m:g}")
        for name in ("tile_px", "panorama_width_px", "panorama_height_px"):
            value = getattr(self, name)
            if value % PATCH_PX or value < (PATCH_PX if self.source == "world" else 0):
                _refuse(name, value, f"a multiple of {PATCH_PX}" + ("" if self.source == "world" else ", or 0"))
        self._check_negatives()
        if self.source == "world":
            self._check_world()
        elif not self.source_path:
            _refuse("source_path", self.source_path, f"a path, as source is {self.source!r}")

    def _check_negatives(self) -> None:
        needed = half_diagonal(self.tile_extent_m)
        if needed and 0 < self.min_separation_m < needed.least_m:
            _refuse("min_separation_m", self.min_separation_m, f"at least {needed.least_m:g}, {needed.why}, or 0")
        try:
            self.rule(self.min_separation_m)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if self.embeddings and self.difficulty == "mixed":
            _refuse("embeddings", self.embeddings, "difficulty hard or easy, as mixed compares nothing")
        for name in ("pairs_per_city", "columns"):
            if getattr(self, name) and self.source in _WITHOUT[name]:
                _refuse(name, getattr(self, name), f"nothing for source={self.source!r}, which does not use it")

    def rule(self, least_m: float) -> NegativeRule:
        """Which places may stand beside the true tile.

        Args:
            least_m: Nearest, as :func:`geor1.synthesis.separation.decide` says.
        """
        return NegativeRule(
            min_separation_m=least_m,
            max_radius_m=self.max_radius_m,
            difficulty=self.difficulty,
            bands=tuple(Band(*band) for band in self.bands),
            same=self.same,
        )

    def _check_world(self) -> None:
        _between("scenes_per_neighbourhood", self.scenes_per_neighbourhood, self.candidates + 1, 60)
        for name in ("train_pairs", "test_pairs"):
            value = getattr(self, name)
            if 0 < value <= self.candidates:
                _refuse(name, value, f"0, or more than candidates={self.candidates}, so that negatives exist")
        if self.train_pairs + self.test_pairs == 0:
            _refuse("train_pairs", 0, "at least one pair, here or in test_pairs")
        most = self.train_pairs * self.questions_per_pair
        if self.labelled_scaffolds > most:
            _refuse("labelled_scaffolds", self.labelled_scaffolds, f"at most the {most} train questions")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        _refuse(name, value, f"one of {', '.join(allowed)}")


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        _refuse(name, value, f"{low:g} or more" if high == float("inf") else f"{low:g} to {high:g}")


def _refuse(name: str, value: Any, expected: str) -> None:
    raise ConfigError(f"{name}={value!r}: expected {expected}")
