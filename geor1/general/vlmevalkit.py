"""Read the scored answers of VLMEvalKit: ``<work_dir>/<model>/T<date>/<model>_<data set>_<judge>_result.tsv``.

Layout verified at commit e8e78f05 in ``vlmeval/smp/file.py`` (names; tsv, xlsx or json by ``PRED_FORMAT``, xlsx by
default), ``vlmeval/dataset/image_mcq.py`` and ``vlmeval/dataset/utils/multiple_choice.py`` (columns ``index``,
``question``, the options ``A`` …, ``answer``, ``prediction``, ``split``, ``hit`` 0 or 1, ``log``). The predictions
file, without ``_<judge>_result``, holds no scores. Beside it lies a ``.pkl`` of the same: a pickle runs code when it
is loaded, so none is ever read. A judge that could not read an answer three times has it answered at random, and says
so in ``log``: such a hit counts as wrong here. A request that failed is logged as the answer
``Failed to obtain answer …``.

xlsx needs openpyxl, and a cell of it holds at most 32,767 characters; :mod:`geor1.general.commands` asks for tsv.
"""

from __future__ import annotations

import csv
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from geor1.general.commands import VLMEVALKIT
from geor1.general.samples import GeneralSample, Imported, check_unique, digest, is_reply, score_of
from geor1.records import RecordError
from geor1.runs.errors import ConfigError

DRAWN = "randomly generate one"
SUFFIXES = (".tsv", ".csv", ".xlsx")
_FILE_NAME = re.compile(r"(?P<name>.+?)_(?P<judge>exact_matching|[^_]+)_result")
_NEEDED = ("index", "question", "answer", "prediction", "hit", "log")

Row = Mapping[str, str]


def read_vlmevalkit(path: Path | str) -> Imported:
    """The samples of one result file.

    Args:
        path: ``<model>_<data set>_<judge>_result.tsv`` (or .csv, .xlsx), in the folders that the harness made: the
            model's name is known from them only.

    Raises:
        ConfigError: xlsx without openpyxl.
        RecordError: Another kind of file, a column is missing, the file is cut, a score is missing, NaN or outside
            [0, 1], or an item occurs twice.
    """
    path = Path(path)
    dataset = data_set_of(path)
    samples, drawn = [], 0
    for where, row in _rows(path):
        score = score_of(row["hit"], "hit", where)
        if DRAWN in row["log"]:
            drawn, score = drawn + 1, 0.0
        split = row.get("split", "")
        options = [row.get(letter, "") for letter in string.ascii_uppercase]
        samples.append(
            GeneralSample(
                suite=VLMEVALKIT, task=f"{dataset}:{split}" if split else dataset, task_version=None,
                item_id=row["index"], asked=digest(row["question"], options, row["answer"]), metric="hit",
                score=score, group=None, source=where,
                replied=is_reply(row["prediction"]),
            )
        )  # fmt: skip
    if not samples:
        raise RecordError(f"{path.name}: holds no items")
    check_unique(samples)
    note = f"{dataset}: {drawn} answers that the judge could not read had been given a random option: counted wrong"
    return Imported(tuple(samples), (note,) if drawn else ())


def data_set_of(path: Path) -> str:
    """Name of the data set, from a result file's name and the folder named after the model.

    Raises:
        RecordError: Not a result file, or not in its folder.
    """
    if path.suffix == ".pkl":
        raise RecordError(f"{path.name}: a pickle is never read, loading it would run code; give the .tsv or .xlsx")
    named = _FILE_NAME.fullmatch(path.stem)
    if path.suffix not in SUFFIXES or named is None:
        raise RecordError(
            f"{path.name}: expected <model>_<data set>_<judge>_result.tsv (or .csv, .xlsx); the file without "
            "_<judge>_result holds predictions without scores: run with --mode all, and PRED_FORMAT=tsv for tsv"
        )
    for folder in path.resolve().parents[:2]:
        if named["name"].startswith(f"{folder.name}_"):
            return named["name"][len(folder.name) + 1 :]
    raise RecordError(f"{path}: expected it below a folder with the model's name, <model>/T<date>/{path.name}")


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    rows = _from_xlsx(path) if path.suffix == ".xlsx" else _from_text(path)
    for where, row in rows:
        missing = [name for name in _NEEDED if name not in row]
        if missing:
            raise RecordError(f"{where}: no column {missing}; it has {list(row)}")
        yield where, row


def _from_text(path: Path) -> Iterator[tuple[str, Row]]:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                where = f"{path.name} line {reader.line_num}"
                if None in row or None in row.values():
                    raise RecordError(f"{where}: has not as many columns as the header; was the file cut?")
                yield where, row
        except csv.Error as error:
            raise RecordError(f"{path.name} line {reader.reader.line_num}: {error}; was the file cut?") from error


def _from_xlsx(path: Path) -> Iterator[tuple[str, Row]]:
    import zipfile

    import pandas

    try:
        table = pandas.read_excel(path, dtype=str, keep_default_na=False, engine="openpyxl")
    except ImportError as error:
        raise ConfigError(
            f"{path.name}: xlsx needs openpyxl: pip install openpyxl, or run with PRED_FORMAT=tsv"
        ) from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise RecordError(f"{path.name}: not a whole xlsx file ({error}); was it cut?") from error
    for number, row in enumerate(table.to_dict("records"), start=2):
        yield f"{path.name} row {number}", row
