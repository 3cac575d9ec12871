"""Sample logs of the three harnesses: whole ones, and every broken kind."""

from __future__ import annotations

import json
import math
import pickle
import sys
from pathlib import Path

import pytest
from harness_logs import (
    LMMS_DATE,
    lighteval_row,
    lmms_row,
    mmmu,
    vlm_row,
    write_lighteval,
    write_lmms,
    write_megabench,
    write_vlm,
)

from geor1.general.lighteval import read_lighteval
from geor1.general.lmms_eval import read_lmms_eval
from geor1.general.logs import import_logs
from geor1.general.megabench import megabench_task, read_megabench
from geor1.general.samples import GeneralSample, read_samples
from geor1.general.vlmevalkit import read_vlmevalkit
from geor1.records import RecordError, write_jsonl
from geor1.runs import ConfigError

FAILED_REQUEST = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] Request timed out."


def scores(samples: tuple[GeneralSample, ...]) -> list[float]:
    return [sample.score for sample in samples]


# --- lmms-eval -------------------------------------------------------------------------------------------------------


def test_lmms_eval_scores_versions_and_failed_requests(tmp_path: Path) -> None:
    rows = [lmms_row(0, {"acc": 1.0}), lmms_row(1, {"acc": 0.0}, reply=FAILED_REQUEST), lmms_row(2, {"acc": True})]
    rows += [lmms_row(3, {"acc": 0.25}, reply="B", resps=[["I think B"]]), lmms_row(4, {"acc": 0}, reply="")]
    found = read_lmms_eval(write_lmms(tmp_path, "task", rows, version=1.0))
    assert scores(found.samples) == [1.0, 0.0, 1.0, 0.25, 0.0]
    assert [sample.replied for sample in found.samples] == [True, False, True, True, False]
    first = found.samples[0]
    assert (first.suite, first.task, first.task_version, first.metric) == ("lmms-eval", "task", "1.0", "acc")
    assert first.source == f"{LMMS_DATE}_samples_task.jsonl line 1" and not found.notes


def test_lmms_eval_mmmu_is_scored_by_letter_and_open_questions_are_left_out(tmp_path: Path) -> None:
    rows = [lmms_row(0, mmmu("B")), lmms_row(1, mmmu("A")), lmms_row(2, mmmu("7", answer="7", kind="open"))]
    found = read_lmms_eval(write_lmms(tmp_path, "mmmu_val", rows))
    assert scores(found.samples) == [1.0, 0.0] and {sample.metric for sample in found.samples} == {"mmmu_acc"}
    assert found.notes == ("mmmu_val: 1 open questions left out, whose logged readings cannot be scored",)
    only_open = write_lmms(tmp_path, "mmmu_test", [lmms_row(0, mmmu("7", kind="open"))])
    with pytest.raises(RecordError, match="none of its 1 items is multiple choice"):
        read_lmms_eval(only_open)


def test_lmms_eval_what_was_asked_tells_items_apart(tmp_path: Path) -> None:
    plain, again = lmms_row(0, {"acc": 1}), lmms_row(0, {"acc": 0}, reply="A", doc_hash="f" * 64)
    shuffled, other_truth = (
        lmms_row(0, {"acc": 1}, input="Question 0?\nA. two\nB. one"),
        lmms_row(0, {"acc": 1}, target="A"),
    )
    found = [
        read_lmms_eval(write_lmms(tmp_path / str(number), "task", [row])).samples[0].asked
        for number, row in enumerate((plain, again, shuffled, other_truth))
    ]
    assert found[0] == found[1], "the reply and the harness's hash, which holds addresses of images, do not count"
    assert len(set(found)) == 3


def test_lmms_eval_answer_filters_are_passes_without_a_name(tmp_path: Path) -> None:
    strict = [lmms_row(item, {"exact_match": 0.0}, reply="[invalid]") for item in (0, 1)]
    flexible = [lmms_row(item, {"exact_match": 1.0}) for item in (0, 1)]
    path = write_lmms(tmp_path, "gpqa_diamond_cot_zeroshot", strict + flexible)
    with pytest.raises(RecordError, match=r"every item occurs 2 times.*choose one with --filter 1 … 2"):
        read_lmms_eval(path)
    assert scores(read_lmms_eval(path, filter_number=1).samples) == [0.0, 0.0]
    assert scores(read_lmms_eval(path, filter_number=2).samples) == [1.0, 1.0]
    with pytest.raises(RecordError, match="holds 2 answer filters, asked for number 3"):
        read_lmms_eval(path, filter_number=3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([lmms_row(item, {"acc": 1}) for item in (0, 0, 1)], r"line 2: doc_id 0 occurs twice, first at .* line 1"),
        ([lmms_row(0, {"acc": 1}), lmms_row(1, {})], "line 2: no score 'acc'; was the file cut, or the item not"),
        ([lmms_row(0, {"acc": 1}), lmms_row(1, {"acc": math.nan})], "line 2: score 'acc' is NaN"),
        ([lmms_row(0, {"acc": math.inf})], r"line 1: score 'acc' is inf, expected a share in \[0, 1\]"),
        ([lmms_row(0, {"acc": 1}), lmms_row(1, {"acc": 57.0})], r"line 2: score 'acc' is 57.0, expected a share"),
        ([lmms_row(0, {"acc": 1}), lmms_row(1, {"acc": "good"})], "line 2: score 'acc' should be a number"),
        ([lmms_row(0, {"acc": 1, "acc_norm": 1})], r"line 1: holds several scores, \['acc', 'acc_norm'\]; choose"),
        ([lmms_row(0, {"note": "text"})], "line 1: holds no score; was the run made without scoring"),
        ([{"doc_id": 0}], "line 1: expected an object with 'doc_id' and 'target'"),
        ([], "empty; did the run end before its first item"),
    ],
)  # fmt: skip
def test_lmms_eval_broken_logs_name_file_and_line(tmp_path: Path, rows: list, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_lmms_eval(write_lmms(tmp_path, "task", rows))


def test_lmms_eval_cut_line_and_strange_names(tmp_path: Path) -> None:
    path = write_lmms(tmp_path, "task", [lmms_row(0, {"acc": 1}), lmms_row(1, {"acc": 1})])
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RecordError, match=r"samples_task.jsonl line 2: not JSON .*was the file cut"):
        read_lmms_eval(path)
    with pytest.raises(RecordError, match=r"expected the name <date>_samples_<task>.jsonl"):
        read_lmms_eval(path.rename(path.with_name("log.jsonl")))
    damaged = write_lmms(tmp_path / "b", "task", [lmms_row(0, {"acc": 1})])
    damaged.with_name(f"{LMMS_DATE}_results.json").write_text("{")
    with pytest.raises(RecordError, match="expected the results of lmms-eval with 'versions'"):
        read_lmms_eval(damaged)
    damaged.with_name(f"{LMMS_DATE}_results.json").unlink()
    assert read_lmms_eval(damaged).samples[0].task_version is None


# --- lighteval -------------------------------------------------------------------------------------------------------


def test_lighteval_scores_versions_and_empty_replies(tmp_path: Path) -> None:
    rows = [lighteval_row(0, {"gpqa_pass@k:k=1": 1.0}), lighteval_row(1, {"gpqa_pass@k:k=1": 0.0}, reply="")]
    first, second = read_lighteval(write_lighteval(tmp_path, rows)).samples
    assert (first.score, second.score, first.replied, second.replied) == (1.0, 0.0, True, False)
    assert (first.task, first.task_version, first.item_id) == ("gpqa:diamond|0", "1", "0")
    assert second.source.endswith(".parquet row 2")
    shuffled = [lighteval_row(0, {"gpqa_pass@k:k=1": 1.0}, gold=0)]
    assert read_lighteval(write_lighteval(tmp_path / "b", shuffled)).samples[0].asked != first.asked


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([lighteval_row(0, {"em": 1.0})] * 2, "row 2: item '0' .* occurs twice, first at .* row 1"),
        ([lighteval_row(0, {"em": 1.0}), lighteval_row(1, {"em": None})], "row 2: no score 'em'"),
        ([lighteval_row(0, {"em": 1.0}), lighteval_row(1, {"em": math.nan})], "row 2: score 'em' is NaN"),
        ([lighteval_row(0, {"em": 1.0, "f1": 0.5})], r"row 1: holds several scores, \['em', 'f1'\]"),
        ([{"doc": {"id": "0", "query": "?"}, "metric": {"em": 1.0}}], r"no column \['model_response'\]"),
        ([{"doc": "text", "metric": {"em": 1.0}, "model_response": {"text": ["B"]}}], "row 1: expected structs doc"),
    ],
)  # fmt: skip
def test_lighteval_broken_details_name_file_and_row(tmp_path: Path, rows: list, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_lighteval(write_lighteval(tmp_path, rows))


def test_lighteval_cut_file_and_choice_of_score(tmp_path: Path) -> None:
    path = write_lighteval(tmp_path, [lighteval_row(0, {"em": 1.0, "f1": 0.5})])
    assert scores(read_lighteval(path, metric="f1").samples) == [0.5]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RecordError, match=r"not a whole parquet file .*was it cut"):
        read_lighteval(path)


# --- VLMEvalKit ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".xlsx"])
def test_vlmevalkit_splits_failures_and_random_options(tmp_path: Path, suffix: str) -> None:
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl")
        pytest.importorskip("xlsxwriter")
    rows = [
        vlm_row(0, 1, split="validation"),
        vlm_row(1, 0, split="validation", prediction="Failed to obtain answer via API."),
        vlm_row(2, 1, split="dev", log="Match Log: Failed to predict, thus randomly generate one. . "),
    ]
    found = read_vlmevalkit(write_vlm(tmp_path, rows, suffix=suffix))
    assert [sample.task for sample in found.samples] == ["MMMU_DEV_VAL:validation"] * 2 + ["MMMU_DEV_VAL:dev"]
    assert scores(found.samples) == [1.0, 0.0, 0.0], "an option drawn at random is not an answer"
    assert [sample.replied for sample in found.samples] == [True, False, True]
    assert "1 answers that the judge could not read had been given a random option" in found.notes[0]


def test_vlmevalkit_xlsx_without_openpyxl_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    path = write_vlm(tmp_path, [vlm_row(0, 1)]).with_suffix(".xlsx")
    path.write_bytes(b"PK")
    with pytest.raises(ConfigError, match="xlsx needs openpyxl: pip install openpyxl, or run with PRED_FORMAT=tsv"):
        read_vlmevalkit(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([vlm_row(0, 1), vlm_row(0, 1)], "item '0' of MMMU_DEV_VAL occurs twice, first at .* line 3"),
        ([vlm_row(0, 1), vlm_row(1, "")], "line 5: no score 'hit'"),
        ([vlm_row(0, "nan")], "line 3: score 'hit' is NaN"),
        ([{"index": 0, "question": "?", "answer": "B", "prediction": "B"}], r"line 2: no column \['hit', 'log'\]"),
    ],
)
def test_vlmevalkit_broken_results_name_file_and_line(tmp_path: Path, rows: list, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_vlmevalkit(write_vlm(tmp_path, rows))


def test_vlmevalkit_cut_and_wrong_files(tmp_path: Path) -> None:
    path = write_vlm(tmp_path, [vlm_row(0, 1), vlm_row(1, 1)])
    whole = path.read_text()
    path.write_text(whole[:-5])
    with pytest.raises(RecordError, match=r"line 5: unexpected end of data; was the file cut"):
        read_vlmevalkit(path)
    path.write_text(whole[: whole.rindex('"1"') - 1])
    with pytest.raises(RecordError, match="line 5: has not as many columns as the header"):
        read_vlmevalkit(path)
    with pytest.raises(RecordError, match="holds predictions without scores"):
        read_vlmevalkit(path.with_name("geo_MMMU_DEV_VAL.tsv"))
    with pytest.raises(RecordError, match="expected it below a folder with the model's name"):
        read_vlmevalkit(tmp_path / "elsewhere" / path.name)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.path, "unpickled")


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    path = write_vlm(tmp_path, [vlm_row(0, 1)]).with_suffix(".pkl")
    path.write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    with pytest.raises(RecordError, match="a pickle is never read"):
        import_logs("vlmevalkit", path)
    assert len(import_logs("vlmevalkit", tmp_path).samples) == 1, "a folder's pickles are passed by"
    assert not (tmp_path / "trace").exists()


# --- MEGA-Bench ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["lmms-eval", "vlmevalkit"])
def test_megabench_scores_between_0_and_1_grouped_by_task(tmp_path: Path, suite: str) -> None:
    path = write_megabench(tmp_path / "scores", {"chess": [0.5, 1.0], "maps": [0.25, -1]})
    found = read_megabench(path, suite)
    assert scores(found.samples) == [0.5, 1.0, 0.25, 0.0]
    assert [sample.group for sample in found.samples] == ["chess", "chess", "maps", "maps"]
    assert found.samples[0].item_id == "chess/0" and found.samples[0].task == "megabench_core"
    assert "1 queries that the evaluator could not score count as 0" in found.notes[0]
    assert import_logs(suite, tmp_path).samples == found.samples


def test_megabench_names_and_broken_files(tmp_path: Path) -> None:
    names = {"megabench_score_core": "megabench_core", "megabench_score_open": "megabench_open"}
    names |= dict.fromkeys(("megabench_scores_core_si", "megabench_score_core_single_image"), "megabench_core_si")
    assert {name: megabench_task(Path(f"{name}.json")) for name in names} == names
    with pytest.raises(RecordError, match="say the subset in its name"):
        megabench_task(Path("scores.json"))
    path = write_megabench(tmp_path, {"chess": [0.5]}, finished=False)
    with pytest.raises(RecordError, match="no 'summary': the evaluator stopped before the end"):
        read_megabench(path, "lmms-eval")
    content = json.loads(write_megabench(tmp_path, {"chess": [0.5, 0.5]}).read_text())
    content["data"][0]["query_response"][1].pop("scores")
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match="task chess query 2: no score 'query_score'"):
        read_megabench(path, "lmms-eval")
    path.write_text(json.dumps(content)[:-9])
    with pytest.raises(RecordError, match=r"line 1: not JSON .*was the file cut"):
        read_megabench(path, "lmms-eval")
    path.write_text(json.dumps(content["data"]))
    with pytest.raises(RecordError, match="replies alone are not scored yet"):
        read_megabench(path, "lmms-eval")


def test_megabench_replies_of_lmms_eval_give_way_to_their_scores(tmp_path: Path) -> None:
    write_lmms(tmp_path, "megabench_core_si", [lmms_row(0, {"submission": {"response": "yes"}})])
    with pytest.raises(RecordError, match="holds replies without scores; run MEGA-Bench's evaluator"):
        import_logs("lmms-eval", tmp_path)
    write_megabench(tmp_path / "scores", {"chess": [0.5]}, name="megabench_score_core_si.json")
    assert scores(import_logs("lmms-eval", tmp_path).samples) == [0.5]


# --- folders and the common file -------------------------------------------------------------------------------------


def test_the_newest_log_of_each_task_counts_and_older_ones_are_named(tmp_path: Path) -> None:
    write_lmms(tmp_path, "task", [lmms_row(0, {"acc": 0})], date="20260101_000000")
    write_lmms(tmp_path, "task", [lmms_row(0, {"acc": 1})], date="20260201_000000")
    write_lmms(tmp_path, "other", [lmms_row(0, {"acc": 1})], date="20260101_000000")
    found = import_logs("lmms-eval", tmp_path)
    assert {sample.task: sample.score for sample in found.samples} == {"task": 1.0, "other": 1.0}
    assert found.notes == ("task: older log left out: geo/20260101_000000_samples_task.jsonl",)
    for date, hit in (("T20260201-000000", 1), ("T20260101-000000", 0)):
        write_vlm(tmp_path, [vlm_row(0, hit)], date=date)
    assert scores(import_logs("vlmevalkit", tmp_path).samples) == [1.0]


def test_import_refuses_what_cannot_be(tmp_path: Path) -> None:
    write_lmms(tmp_path, "task", [lmms_row(0, {"acc": 1})])
    for suite, options, error, message in [
        ("lm-eval", {}, ConfigError, "suite: expected one of lmms-eval, lighteval, vlmevalkit, got 'lm-eval'"),
        ("vlmevalkit", {"metric": "hit"}, ConfigError, "vlmevalkit has one score an item"),
        ("lighteval", {"filter_number": 2}, ConfigError, "--filter is for lmms-eval"),
        ("lmms-eval", {"metric": "f1"}, RecordError, r"no log holds a score 'f1'; they hold \['acc'\]"),
        ("lighteval", {}, FileNotFoundError, "no log of lighteval below it; .*was --save-details given"),
        ("vlmevalkit", {}, FileNotFoundError, "no log of vlmevalkit below it"),
    ]:
        with pytest.raises(error, match=message):
            import_logs(suite, tmp_path, **options)
    with pytest.raises(FileNotFoundError, match="no such log or folder"):
        import_logs("lmms-eval", tmp_path / "absent")


def test_samples_survive_the_file_and_are_checked_again(tmp_path: Path) -> None:
    samples = import_logs("lmms-eval", write_lmms(tmp_path, "task", [lmms_row(0, {"acc": 1})])).samples
    path = write_jsonl(tmp_path / "samples.jsonl", samples)
    assert tuple(read_samples(path)) == samples
    path.write_text(path.read_text() * 2)
    with pytest.raises(RecordError, match="item '0' of task occurs twice"):
        read_samples(path)
    path.write_text(path.read_text().splitlines()[0].replace('"score": 1.0', '"score": 1.5'))
    with pytest.raises(RecordError, match=r"score acc=1.5 is outside \[0, 1\]"):
        read_samples(path)
    path.write_text("")
    with pytest.raises(RecordError, match="holds no samples"):
        read_samples(path)
