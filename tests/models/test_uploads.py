"""Checkpoints copied to an address: whole or not at all, checked, listed, and fetched when the disk is gone."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from tiny_cases import small_checkpoint, write_questions

from geor1.models import uploads
from geor1.models.uploads import INDEX, CheckpointCopies, UploadError, copy_folder, fetch_latest, upload_checkpoint
from geor1.runs import LaunchConfig, RunStoppedError, append_metrics, read_metrics, run_stage
from geor1.runs.stopping import request_stop
from geor1.sft.config import SftConfig
from geor1.sft.run import run_sft


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    monkeypatch.setattr(uploads, "_WAIT_S", 0.0)
    memory = fsspec.filesystem("memory")
    yield memory
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


@pytest.fixture(params=["memory://bucket", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param if "memory" in request.param else f"file://{tmp_path}/bucket"


def checkpoint(run_dir: Path, step: int, content: bytes = b"weights") -> Path:
    folder = run_dir / "trainer" / f"checkpoint-{step}"
    (folder / "nested").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "nested" / "rng.pth").write_bytes(bytes([step]))
    (folder / "complete").write_text(f"{step}\n")
    append_metrics(run_dir, step, loss=1 / step)
    return folder


def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "smoke" / "03_grpo" / "0123456789abcdef"
    folder.mkdir(parents=True)
    return folder


def test_a_copy_comes_back_whole_with_the_figures_up_to_it(tmp_path: Path, url: str) -> None:
    run_dir = run_folder(tmp_path)
    for step in (1, 2, 3):
        note = upload_checkpoint(checkpoint(run_dir, step), url, run_dir)
        assert note["files"] == 4 and "error" not in note
        assert note["url"] == f"{url}/03_grpo/0123456789abcdef/checkpoint-{step}"
    notes = [json.loads(line) for line in (run_dir / "uploads.jsonl").read_text().splitlines()]
    assert [one["checkpoint"] for one in notes] == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    shutil.rmtree(run_dir)
    run_dir.mkdir()
    fetched = fetch_latest(url, run_dir, run_dir / "trainer")
    assert fetched == run_dir / "trainer" / "checkpoint-3"
    assert (fetched / "nested" / "rng.pth").read_bytes() == b"\3" and (fetched / "complete").exists()
    assert [row["step"] for row in read_metrics(run_dir)] == [1, 2, 3]
    assert not (fetched / "run").exists() and not (fetched / INDEX).exists()


def test_two_copies_are_kept(tmp_path: Path, store: fsspec.AbstractFileSystem) -> None:
    run_dir = run_folder(tmp_path)
    for step in (9, 10, 11):
        upload_checkpoint(checkpoint(run_dir, step), "memory://bucket", run_dir)
    names = {path.rpartition("/")[2] for path in store.ls("/bucket/03_grpo/0123456789abcdef", detail=False)}
    assert names == {"checkpoint-10", "checkpoint-11"}


def test_a_copy_without_its_index_does_not_count(tmp_path: Path, store: fsspec.AbstractFileSystem) -> None:
    run_dir = run_folder(tmp_path)
    assert fetch_latest("memory://bucket", run_dir, run_dir / "trainer") is None
    for step in (1, 2):
        upload_checkpoint(checkpoint(run_dir, step), "memory://bucket", run_dir)
    store.rm(f"/bucket/03_grpo/0123456789abcdef/checkpoint-2/{INDEX}")  # as if the machine had gone down before
    shutil.rmtree(run_dir / "trainer")
    assert fetch_latest("memory://bucket", run_dir, run_dir / "trainer").name == "checkpoint-1"


def test_a_damaged_copy_is_refused(tmp_path: Path, store: fsspec.AbstractFileSystem) -> None:
    run_dir = run_folder(tmp_path)
    note = upload_checkpoint(checkpoint(run_dir, 1), "memory://bucket", run_dir)
    with store.open(f"{note['url']}/model.safetensors", "wb") as handle:
        handle.write(b"weightz")
    with pytest.raises(UploadError, match=r"no copy can be used.*model.safetensors: not what was copied there"):
        fetch_latest("memory://bucket", run_dir, run_dir / "elsewhere")


@pytest.mark.parametrize("damage", ["content", "gone", "index"])
def test_behind_a_damaged_copy_lies_the_one_before(
    tmp_path: Path, store: fsspec.AbstractFileSystem, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    run_dir = run_folder(tmp_path)
    for step in (1, 2):
        note = upload_checkpoint(checkpoint(run_dir, step), "memory://bucket", run_dir)
    if damage == "gone":
        store.rm(f"{note['url']}/model.safetensors")
    else:
        name = "model.safetensors" if damage == "content" else INDEX
        with store.open(f"{note['url']}/{name}", "wb") as handle:
            handle.write(b"weightz")
    fetched = fetch_latest("memory://bucket", run_dir, run_dir / "elsewhere")
    assert fetched == run_dir / "elsewhere" / "checkpoint-1" and (fetched / "model.safetensors").is_file()
    assert [row["step"] for row in read_metrics(run_dir)] == [1], "the figures up to it"
    assert "left out" in caplog.text and "checkpoint-2" in caplog.text


def test_copies_are_made_beside_training_and_hold_the_figures_of_their_step(
    tmp_path: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, go, order = run_folder(tmp_path), threading.Event(), []
    sent = type(store).put_file

    def slow(self: fsspec.AbstractFileSystem, local: str, target: str, **more: object) -> None:
        if target.endswith("model.safetensors"):
            assert go.wait(20)
            order.append(target.split("/")[-2])
        sent(self, local, target, **more)

    monkeypatch.setattr(type(store), "put_file", slow)
    copies = CheckpointCopies("memory://bucket", run_dir)
    copies.start(checkpoint(run_dir, 1))
    append_metrics(run_dir, 2, loss=0.5)  # training goes on before the copy is through
    assert not order
    go.set()
    copies.start(checkpoint(run_dir, 3))  # waits for the one before
    copies.wait()
    assert order == ["checkpoint-1", "checkpoint-3"]
    text = store.cat_file("memory://bucket/03_grpo/0123456789abcdef/checkpoint-1/run/metrics.jsonl").decode()
    assert [json.loads(line)["step"] for line in text.splitlines()] == [1]
    assert not list(run_dir.rglob(".copying-*"))


@pytest.mark.parametrize("damage", [b"weight", b"weightz"], ids=["size", "content"])
def test_what_arrives_wrong_is_tried_again_then_noted(
    tmp_path: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    run_dir, tries = run_folder(tmp_path), []
    sent = type(store).put_file

    def torn(self: fsspec.AbstractFileSystem, local: str, target: str, **more: object) -> None:
        if local.endswith("model.safetensors"):
            tries.append(target)
            self.pipe_file(target, damage)
        else:
            sent(self, local, target, **more)

    monkeypatch.setattr(type(store), "put_file", torn)
    note = upload_checkpoint(checkpoint(run_dir, 1), "memory://bucket", run_dir)
    assert "UploadError" in note["error"] and len(tries) == 3
    assert not store.exists(f"{note['url']}/{INDEX}")
    assert json.loads((run_dir / "uploads.jsonl").read_text())["error"] == note["error"]
    assert fetch_latest("memory://bucket", run_dir, run_dir / "elsewhere") is None
    with pytest.raises(UploadError):
        copy_folder({"model.safetensors": run_dir / "trainer" / "checkpoint-1" / "model.safetensors"}, "memory://b/c")


def test_training_goes_on_elsewhere_from_the_copies(tmp_path: Path) -> None:
    write_questions(tmp_path / "data", 8)
    small_checkpoint(tmp_path / "base")
    config = SftConfig(base_model=str(tmp_path / "base"), max_steps=5, batch_size=4, save_steps=2, threads=1)

    def train(name: str, url: str) -> object:
        launch = LaunchConfig(checkpoint_url=url, report_to="none")
        inputs = {"data": tmp_path / "data"}
        return run_stage("02_scaffold_sft", "smoke", config, stopping_sft, inputs, tmp_path / name, launch=launch)

    url = f"file://{tmp_path}/bucket"
    with pytest.raises(RunStoppedError):
        train("here", url)
    shutil.rmtree(tmp_path / "here")  # the node and its disk are gone
    moved = train("there", url)
    whole = train("whole", "")
    assert moved.key == whole.key and read_metrics(moved.path) == read_metrics(whole.path)
    assert [note["checkpoint"] for note in moved.manifest["uploads"]] == [f"checkpoint-{step}" for step in (2, 4, 5)]


def stopping_sft(config: SftConfig, data: Path, run_dir: Path) -> Path:
    """Stage 02, asked to stop at once where its run folder lies in one named here."""
    if "here" in run_dir.parts:
        request_stop(run_dir, "the test")
    return run_sft(config, data, run_dir)
