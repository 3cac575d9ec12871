"""Stage 01 with a teacher that is asked, and stage 02 reading what it wrote; a real vLLM server where there is one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import vllm_package
from scripted_server import ScriptedServer
from teacher_cases import served, write_questions
from vllm_server import SERVER_ENVIRONMENT, save_for_vllm, serving

from geor1.asking.backends import UnansweredError
from geor1.records import Question, Scaffold, read_jsonl
from geor1.runs import ConfigError, configure
from geor1.runs.typed import build_dataclass
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.run import run_synthesis
from geor1.synthesis.teacher import templates
from geor1.synthesis.teacher.config import TeacherConfig
from geor1.synthesis.teacher.run import CHECKED, REPORT, SCAFFOLDS, TABLE, run_teacher

TEACHING = {"model": "tiny", "templates": ["positive", "geolocation"], "min_tokens": 0, "samples": 4, "concurrency": 4}


def smoke(url: str, **changes: Any) -> SynthesisConfig:
    teaching = {**TEACHING, "server_url": url, "key_variable": "NO_KEY", "max_attempts": 1}
    small = {"train_pairs": 24, "test_pairs": 12, "labelled_scaffolds": 6, "teacher": "openai", "teaching": teaching}
    return configure(SynthesisConfig, "01_data_synthesis", "smoke", **{**small, **changes})


def test_the_stage_takes_chains_from_a_served_teacher_and_goes_on_after_errors(tmp_path: Path) -> None:
    failing = {"on": True}
    with ScriptedServer(served, faults=lambda digest, _: "500" if failing["on"] and digest < "3" else None) as server:
        with pytest.raises(UnansweredError):
            run_synthesis(smoke(server.url), tmp_path)
        assert not (tmp_path / SCAFFOLDS).exists()
        failing["on"], paid = False, dict(server.whole)
        run_synthesis(smoke(server.url), tmp_path)
        assert all(server.whole[digest] == count == 1 for digest, count in paid.items())
    scaffolds = read_jsonl(tmp_path / SCAFFOLDS, Scaffold)
    books = json.loads((tmp_path / "report.json").read_text())["scaffolds"]
    assert books["positive"]["kept"] + books["geolocation"]["kept"] == len(scaffolds) > 10
    assert books["unmatched"]["written"] == 0 and books["labelled"]["kept"] > 0
    assert all((tmp_path / image).is_file() for one in scaffolds for image in one.images)
    assert {one.split for one in scaffolds} == {"train"}
    assert "chains of thought, positive" in (tmp_path / "README.md").read_text()


def test_templates_whose_names_begin_alike_keep_their_own_books(tmp_path: Path) -> None:
    longer = (
        (Path(templates.__file__).parent / "templates" / "positive.txt")
        .read_text("utf-8")
        .replace("name: positive", "name: positive_too")
    )
    (tmp_path / "too.txt").write_text(longer + "\nWrite plainly.")
    teaching = {**TEACHING, "templates": ["positive", str(tmp_path / "too.txt")], "key_variable": "NO_KEY"}
    with ScriptedServer(served) as server:
        run_synthesis(smoke(server.url, teaching={**teaching, "server_url": server.url}), tmp_path / "out")
    books = json.loads((tmp_path / "out" / "report.json").read_text())["scaffolds"]
    scaffolds = read_jsonl(tmp_path / "out" / SCAFFOLDS, Scaffold)
    assert len({one.scaffold_id for one in scaffolds}) == len(scaffolds)
    for name in ("positive", "positive_too"):
        assert books[name]["pairing_labels_seen"] == books[name]["kept"] > 0
    assert sum(books[name]["facts_tested"] for name in ("positive", "positive_too")) == sum(
        one.n_facts for one in scaffolds if "/positive" in one.scaffold_id
    )


def test_the_next_stage_reads_what_the_teacher_wrote(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from geor1.models.loading import BASE_MODEL_PATH, load_processor
    from geor1.sft.data import ScaffoldCollator, load_scaffolds, to_dataset

    with ScriptedServer(served) as server:
        run_synthesis(smoke(server.url), tmp_path)
    for folder in (tmp_path, tmp_path / "teacher"):
        scaffolds = load_scaffolds(folder, SCAFFOLDS, 4)
        collator = ScaffoldCollator(load_processor(BASE_MODEL_PATH), answer_letter_loss=False, image_cache_mb=1)
        batch = collator(list(to_dataset(scaffolds, folder)))
        assert batch["input_ids"].shape[0] == 4 and (batch["labels"] >= 0).sum() > 100


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": "oracle"}, "teacher='oracle'"),
        ({"teacher": "openai"}, "teaching.model"),
        ({"teaching": {"samples": 0}}, "samples=0"),
        ({"teaching": {"keep": 9}}, "keep=9"),
        ({"teaching": {"modle": "x"}}, "did you mean 'model'"),
        ({"teaching": {"templates": []}}, "templates"),
    ],
)
def test_configs_that_do_not_fit_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_dataclass(SynthesisConfig, changes, "test")


OWN_PROMPT = """name: own_words
task: pairing
tiles: all
told: no
given: country
steps: Look; Conclude
---
{images} Which satellite tile shows the same place as the ground panorama? First output the thinking process in \
<think> </think> tags and then output the final answer in <answer> </answer> tags."""


@pytest.fixture(scope="module")
def real_questions(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Path:
    """Train questions about the real pairs."""
    config = build_dataclass(
        SynthesisConfig,
        {"source": "folder", "source_path": str(real_data / "pairs"), "source_split": "train", "candidates": 5,
         "pairing_scaffolds": 0, "geolocation_scaffolds": 0, "parquet": False},
        "real",
    )  # fmt: skip
    return run_synthesis(config, tmp_path_factory.mktemp("real"))


@pytest.mark.parametrize(
    ("templates", "images"), [(("geolocation", "search"), 9), (("positive", "geolocation"), 2), (("geolocation",), 1)]
)
def test_vllm_gets_room_for_the_images_that_the_templates_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, templates: tuple[str, ...], images: int
) -> None:
    """A stand-in for the package, which refuses more."""
    monkeypatch.setitem(sys.modules, "vllm", vllm_package.package())
    questions = write_questions(tmp_path / "data", 3, options=8)
    config = TeacherConfig(backend="vllm", model="big", templates=templates, samples=1)
    run_teacher(config, questions, tmp_path / "data", tmp_path / "out")
    (engine,) = vllm_package.LLM.made
    assert engine.settings["limit_mm_per_prompt"] == {"image": images, "video": 0}
    assert engine.share == 0.0, "shut down"


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_vllm_in_this_process(real_questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {**SERVER_ENVIRONMENT, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}.items():
        monkeypatch.setenv(variable, value)
    questions = read_jsonl(real_questions / "questions_train.jsonl", Question)
    settings = {"backend": "vllm", "model": str(save_for_vllm(tmp_path / "base")), "dtype": "float32", "samples": 2}
    settings |= {"context_tokens": 1024, "max_new_tokens": 64, "templates": ("positive",)}
    config = build_dataclass(SynthesisConfig, {"teaching": settings}, "vllm").teaching
    run_teacher(config, questions, real_questions, tmp_path / "out")
    total = json.loads((tmp_path / "out" / REPORT).read_text())["total"]
    assert total["answered"] == total["asked"] == 20 and total["without_token_counts"] == 0


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_a_real_server_on_real_pairs(real_questions: Path, tmp_path: Path) -> None:
    """The tiny base writes nonsense; that the machinery counts it as such is what is seen here."""
    checkpoint = save_for_vllm(tmp_path / "base")
    (tmp_path / "own.txt").write_text(OWN_PROMPT)
    questions = read_jsonl(real_questions / "questions_train.jsonl", Question)
    settings = {"templates": ("positive", "search", str(tmp_path / "own.txt")), "samples": 3, "max_new_tokens": 160}
    settings |= {"model": str(checkpoint), "concurrency": 8, "min_tokens": 0, "key_variable": "NO_KEY"}
    settings |= {"usd_per_million_in": 0.1, "usd_per_million_out": 0.4}
    with serving(checkpoint, tmp_path / "log.txt") as url:
        config = build_dataclass(SynthesisConfig, {"teaching": {**settings, "server_url": url}}, "vllm").teaching
        run_teacher(config, questions, real_questions, tmp_path / "out")
        print("\n" + (tmp_path / "out" / TABLE).read_text())
        run_teacher(config, questions, real_questions, tmp_path / "out")  # nothing is left to ask
    report = json.loads((tmp_path / "out" / REPORT).read_text())
    lines = [json.loads(line) for line in (tmp_path / "out" / CHECKED).read_text().splitlines()]
    total = report["total"]
    assert len(questions) == 10 and total["questions"] == 30
    assert total["unanswered"] == 0 and total["asked"] == len(lines) == sum(total["rejected"].values()) + total["kept"]
    assert total["answered"] + total["rejected"].get("context_length", 0) == total["asked"]
    assert total["prompt_tokens"] > 0 and total["completion_tokens"] > 0 and total["usd"] > 0
    assert len(read_jsonl(tmp_path / "out" / SCAFFOLDS, Scaffold)) == total["kept"]
