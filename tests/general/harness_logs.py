"""Sample logs in the layouts that the harnesses publish, written by the tests themselves."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LMMS_DATE, LE_DATE, VLM_DATE = "20260806_101112", "2026-05-05T17-54-23.026089", "T20260818-032032"


def lmms_row(doc_id: int, scores: Mapping[str, Any], *, reply: str = "B", **changes: Any) -> dict[str, Any]:
    """A line of lmms-eval; ``resps`` is there only where the filter changed the reply."""
    return {
        "doc_id": doc_id, "target": "B", "filtered_resps": reply, "token_counts": [{"output_tokens": 3}],
        "doc_hash": f"{doc_id:064x}", "input": f"Question {doc_id}?\nA. one\nB. two", **scores, **changes,
    }  # fmt: skip


def mmmu(parsed: str, *, answer: str = "B", kind: str = "multiple-choice") -> dict[str, Any]:
    """What lmms-eval logs in place of a score of MMMU."""
    fields = {"id": "validation_Art_1", "subdomain": "Art", "question_type": kind, "answer": answer}
    told = {**fields, "parsed_pred": [parsed]}
    return {"mmmu_acc": told, "mmmu_acc_pass_at_k": told, "submission": {"validation_Art_1": parsed}}


def write_lmms(
    folder: Path, task: str, rows: Sequence[Mapping[str, Any]], *, version: object = 1.0, date: str = LMMS_DATE
) -> Path:
    """``<folder>/geo/<date>_samples_<task>.jsonl`` and the results file beside it."""
    place = folder / "geo"
    place.mkdir(parents=True, exist_ok=True)
    results = place / f"{date}_results.json"
    versions = json.loads(results.read_text())["versions"] if results.is_file() else {}
    results.write_text(json.dumps({"results": {}, "versions": {**versions, task: version}}))
    path = place / f"{date}_samples_{task}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lighteval_row(number: int, scores: Mapping[str, Any], *, gold: int = 1, reply: str = "Answer: B") -> dict[str, Any]:
    doc = {"query": f"Question {number}?", "choices": ["A", "B"], "gold_index": gold, "id": str(number)}
    doc |= {"task_name": "gpqa:diamond|0", "instruction": None, "images": None, "num_samples": 1}
    response = {"input": "…", "text": [reply], "logprobs": [], "truncated_tokens_count": 0}
    return {"doc": doc, "metric": dict(scores), "model_response": response}


def write_lighteval(
    folder: Path, rows: Sequence[Mapping[str, Any]], *, task: str = "gpqa:diamond|0", version: int = 1
) -> Path:
    import pyarrow
    from pyarrow import parquet

    place, results = folder / "details/openai/geo" / LE_DATE, folder / "results/openai/geo"
    place.mkdir(parents=True)
    results.mkdir(parents=True)
    (results / f"results_{LE_DATE}.json").write_text(json.dumps({"results": {}, "versions": {task: version}}))
    path = place / f"details_{task}_{LE_DATE}.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def vlm_row(
    index: int, hit: object, *, prediction: str = "B", log: str = "Match Log: B. ", **more: Any
) -> dict[str, Any]:
    row = {"index": index, "question": f"Question {index}?\nWith a\tpicture.", "A": "one", "B": "two", "answer": "B"}
    return {**row, "category": "Art", "prediction": prediction, **more, "hit": hit, "log": log}


def write_vlm(
    folder: Path, rows: Sequence[Mapping[str, Any]], *, dataset: str = "MMMU_DEV_VAL", judge: str = "exact_matching",
    suffix: str = ".tsv", date: str = VLM_DATE, model: str = "geo",
) -> Path:  # fmt: skip
    """Every field quoted, as the harness does; xlsx as pandas with xlsxwriter writes it."""
    place = folder / model / date
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{model}_{dataset}_{judge}_result{suffix}"
    if suffix == ".xlsx":
        import pandas

        pandas.DataFrame([dict(row) for row in rows]).to_excel(path, index=False, engine="xlsxwriter")
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        delimiter = "\t" if suffix == ".tsv" else ","
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_megabench(
    folder: Path,
    tasks: Mapping[str, Sequence[float]],
    *,
    name: str = "megabench_score_core.json",
    finished: bool = True,
) -> Path:
    """What MEGA-Bench's evaluator writes: scores of each task's queries."""
    blocks = []
    for task, scores in tasks.items():
        queries = [
            {"response": "yes", "correct_answer": {"answer": f"{task} {number}"}, "global_idx": str(number),
             "images": [], "query_text": f"Query {number}", "scores": {"field": {"answer": score}, "query": score}}
            for number, score in enumerate(scores)
        ]  # fmt: skip
        mean = sum(scores) / len(scores)
        blocks.append(
            {"task_name": task, "query_response": queries, "task_score": sum(scores), "mean_task_score": mean}
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({"data": blocks, "summary" if finished else "temp_summary": {"num_tasks": len(blocks)}}))
    return path
