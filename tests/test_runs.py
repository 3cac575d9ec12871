"""Typed parameters, run folders, keys, manifests, locks, full disks, metrics."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import filelock
import pytest

from geor1 import runs
from geor1.runs import keys, pipeline, stages
from geor1.runs.files import disk_full_is_clear
from geor1.runs.notebook import NotebookParameters, check_injected, declared_parameters, parameters_in_history
from geor1.runs.pipeline import _has_parameters
from geor1.runs.typed import check_value

STAGE = "03_grpo"


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    """A toy.

    Attributes:
        steps: Optimiser steps.
        rate: Learning rate,
            per step.
        sizes: Widths.
        mode: How.
        note: Free text.
        seed: Of everything.
    """

    steps: int
    rate: float = 1.0e-3
    sizes: tuple[int, ...] = (1, 2)
    mode: Literal["fast", "slow"] = "fast"
    note: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: expected at least 1, got {self.steps}")


def toy_work(config: ToyConfig, run_dir: Path, data: Path | None = None) -> Path:
    """Write a product, count the calls."""
    calls = run_dir / "calls.log"
    calls.write_text((calls.read_text() if calls.exists() else "") + "x")
    (run_dir / "result.json").write_text(json.dumps({"steps": config.steps}))
    (run_dir / "metrics_summary.json").write_text(json.dumps({"accuracy": 0.5}))
    logging.getLogger("geor1.toy").info("worked")
    return run_dir / "result.json"


def run_toy(tmp_path: Path, work: Callable[..., Path] = toy_work, inputs: Any = None, **values: Any) -> runs.RunFolder:
    config = ToyConfig(**{"steps": 3, **values})
    return runs.run_stage(STAGE, "miniature", config, work, inputs or {}, tmp_path / "runs")


# --- configure -------------------------------------------------------------------------------------------------------


def test_profile_then_overrides(toy_notebooks: Path) -> None:
    assert runs.configure(ToyConfig, STAGE, "full") == ToyConfig(steps=30, rate=0.125)
    config = runs.configure(ToyConfig, STAGE, "full", steps=7, sizes=[4], rate=1)
    assert config == ToyConfig(steps=7, rate=1.0, sizes=(4,))
    assert isinstance(config.rate, float)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stepz": 5}, r"no parameter 'stepz'; did you mean 'steps'\?"),
        ({"steps": True}, r"steps: expected int, got True \(bool\)"),
        ({"steps": 5.0}, r"steps: expected int, got 5.0"),
        ({"steps": "5"}, r"steps: expected int, got '5'"),
        ({"rate": "1e-6"}, r"rate: expected float, got '1e-6' \(str\); YAML reads 1e-6 as text, write 1e-06 with a p"),
        ({"sizes": [1, "2"]}, r"sizes\[1\]: expected int"),
        ({"sizes": 3}, r"sizes: expected tuple\[int, ...\], got 3"),
        ({"mode": "fats"}, r"mode: expected one of 'fast', 'slow', got 'fats'"),
        ({"note": 3}, r"note: expected str \| None, got 3"),
        ({"steps": 0}, r"03_grpo, profile miniature: steps: expected at least 1, got 0"),
    ],
)
def test_a_wrong_value_is_named(toy_notebooks: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(runs.ConfigError, match=message):
        runs.configure(ToyConfig, STAGE, "miniature", **overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("03_grpo: {steps: 3, rate: 1e-6}", "rate: expected float, got '1e-6'"),
        ("03_grpo: {stpes: 3}", "no parameter 'stpes'; did you mean 'steps'"),
        ("03_grpo: {rate: 0.5}", "needs steps; give them in the profile"),
        ("03_gpro: {steps: 3}", "no stage '03_gpro'; did you mean '03_grpo'"),
        ("03_grpo:\n  steps: 3\n  steps: 4", "line 3: 'steps' stands twice"),
        ("03_grpo: 7", "section '03_grpo' should map names to values"),
        ("- 3", "expected sections per stage, got list"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_profile_is_named(toy_notebooks: Path, text: str, message: str) -> None:
    (toy_notebooks / "profiles" / "bad.yaml").write_text(text)
    with pytest.raises(runs.ConfigError, match=message):
        runs.configure(ToyConfig, STAGE, "bad")


def test_unknown_profile_and_stage(toy_notebooks: Path) -> None:
    with pytest.raises(runs.ConfigError, match=r"no profile 'minature'; did you mean 'miniature'\? Known: full, mini"):
        runs.load_profile("minature")
    with pytest.raises(runs.ConfigError, match="no notebook or stage '03_gpro'; did you mean '03_grpo'"):
        runs.configure(ToyConfig, "03_gpro", "miniature")


def test_values_that_need_a_conversion() -> None:
    assert check_value("a/b", Path, "x") == Path("a/b")
    assert check_value(None, int | None, "x") is None
    assert check_value({"a": 1}, dict[str, float], "x") == {"a": 1.0}
    assert check_value([1, "b"], tuple[int, str], "x") == (1, "b")
    assert check_value({"steps": 4}, ToyConfig, "x") == ToyConfig(steps=4)
    with pytest.raises(runs.ConfigError, match="3 items"):
        check_value([1, 2, 3], tuple[int, int], "x")


def test_config_table_shows_meaning_and_escapes() -> None:
    table = runs.show_config(ToyConfig(steps=3, note="<b>"))
    assert re.search(r"^rate +0.001 +float +Learning rate, per step.$", repr(table), re.MULTILINE)
    assert "&lt;b&gt;" in table._repr_html_() and "<b>" not in table._repr_html_()


# --- parameters cells ------------------------------------------------------------------------------------------------

CELL = "profile: str = 'miniature'  # which\nsteps: int = 3  # optimiser steps\nrate: float = -1.5"


def test_parameters_cell_is_read_as_text() -> None:
    declared = declared_parameters(CELL)
    assert declared is not None and list(declared) == ["profile", "steps", "rate"]
    assert (declared["steps"].annotation, declared["steps"].value, declared["steps"].comment) == (
        int,
        3,
        "optimiser steps",
    )
    assert declared["rate"].value == -1.5
    assert declared_parameters("steps = 3") is None
    assert declared_parameters("steps: int = 2 * 3") is None
    assert declared_parameters("%matplotlib inline") is None
    assert declared_parameters("x: __import__('os').name = 3") is None


def test_injected_cell_is_the_one_after_the_parameters_cell() -> None:
    history = ["", "import os", CELL, "# Parameters\nsteps = 9\nrate = float('nan')\n", "config = 1"]
    found = parameters_in_history(history)
    assert found is not None and found.injected["steps"] == 9 and found.injected["rate"] != found.injected["rate"]
    again = parameters_in_history([*history, CELL])  # a person ran the cell again: papermill's values are gone
    assert again is not None and again.injected == {}
    assert parameters_in_history(["", "steps = 3"]) is None


@pytest.mark.parametrize("injected", [{"stepz": 9}, {"steps": "9"}, {"steps": True}, {"profile": 3}])
def test_injected_names_and_types_are_checked(injected: dict[str, Any]) -> None:
    parameters = NotebookParameters(declared_parameters(CELL) or {}, injected)
    with pytest.raises(runs.ConfigError, match="03_grpo: "):
        check_injected(parameters, STAGE)


def papermill(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "papermill", "03_grpo.ipynb", "out.ipynb", "--no-progress-bar", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


def output_text(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return "".join("".join(out.get("text", "")) for cell in cells for out in cell.get("outputs", []))


def test_plain_papermill_refuses_what_it_only_warns_of(toy_notebooks: Path) -> None:
    misspelt = papermill(toy_notebooks, "-p", "stepz", "2000")
    assert misspelt.returncode != 0
    assert "ConfigError: 03_grpo, profile miniature: the notebook has no parameter 'stepz'; did you mean 'steps'?" in (
        misspelt.stderr
    )
    wrong = papermill(toy_notebooks, "-p", "steps", "many")
    assert wrong.returncode != 0 and "steps: expected int, got 'many' (str)" in wrong.stderr
    assert not (toy_notebooks.parent / "runs").exists()  # nothing began, upstream included


def test_plain_papermill_runs_missing_stages_first(toy_notebooks: Path) -> None:
    done = papermill(toy_notebooks, "-p", "steps", "2000", "-p", "rate", "1")
    assert done.returncode == 0, done.stderr
    text = output_text(toy_notebooks / "out.ipynb")
    assert "02_scaffold_sft: no finished run for profile miniature (seed=0) yet, running it first" in text
    assert "01_data_synthesis: no finished run" in text
    assert "steps 2000 rate 1.0" in text
    folder = runs.upstream("02_scaffold_sft", "miniature", toy_notebooks.parent / "runs", seed=0)
    assert (folder / "notebook.ipynb").is_file()


def test_full_profile_names_the_command_and_keeps_its_values(toy_notebooks: Path) -> None:
    stopped = papermill(toy_notebooks, "-p", "profile", "full")
    assert stopped.returncode != 0
    assert "MissingUpstreamError: no finished run of 02_scaffold_sft for profile full (seed=0)" in stopped.stderr
    assert "make it with: geor1 run 02_scaffold_sft --profile full" in stopped.stderr
    command = [sys.executable, "-m", "papermill", "01_data_synthesis.ipynb", "out.ipynb", "-p", "profile", "full"]
    done = subprocess.run(
        [*command, "-p", "steps", "3"], cwd=toy_notebooks, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "steps 3 rate 0.125" in output_text(toy_notebooks / "out.ipynb")  # 3 was asked for; the literal 0.5 was not


# --- run folders -----------------------------------------------------------------------------------------------------


def test_a_finished_run_is_returned_at_once(tmp_path: Path) -> None:
    first = run_toy(tmp_path)
    again = run_toy(tmp_path)
    assert not first.cached and again.cached and first.path == again.path
    assert (first.path / "calls.log").read_text() == "x"
    assert first.path == tmp_path / "runs" / "miniature" / STAGE / first.key
    assert again.product == first.path / "result.json" and again.metrics == {"accuracy": 0.5}
    assert json.loads((first.path / "config.json").read_text())["parameters"]["steps"] == 3
    assert "worked" in (first.path / "log.txt").read_text()


def test_manifest_says_where_it_comes_from(tmp_path: Path) -> None:
    manifest = run_toy(tmp_path, seed=4).manifest
    assert manifest["seeds"] == {"seed": 4} and manifest["parameters"]["sizes"] == [1, 2]
    assert manifest["wall_s"] > 0 and manifest["peak_memory_bytes"]["process"] > 1_000_000
    assert manifest["hardware"]["cores"] >= 1 and "numpy" in manifest["packages"]
    assert manifest["code"]["version"] == keys.code_version(STAGE) and "sha" in manifest["code"]["git"]
    listed = {product["path"]: product for product in manifest["products"]}
    assert set(listed) == {"result.json", "metrics_summary.json"} and listed["result.json"]["bytes"] == 12


def test_key_follows_parameters_inputs_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("1\n")
    first = run_toy(tmp_path, inputs={"data": data})
    assert run_toy(tmp_path, inputs={"data": data}).cached
    assert run_toy(tmp_path, inputs={"data": data}, steps=4).key != first.key
    data.write_text("2\n")
    second = run_toy(tmp_path, inputs={"data": data})
    assert second.key != first.key
    assert run_toy(tmp_path, inputs={"data": second.path}).key != run_toy(tmp_path, inputs={"data": first.path}).key
    monkeypatch.setattr("geor1.runs.keys.code_version", lambda stage: "edited")
    assert run_toy(tmp_path, inputs={"data": data}).key != second.key


def test_code_version_covers_what_a_stage_imports(tmp_path: Path) -> None:
    root = tmp_path / "geor1"
    sources = {
        "__init__.py": "",
        "records.py": "",
        "geodesy.py": "",
        "runs/__init__.py": "",
        "world/__init__.py": "",
        "world/scene.py": "from geor1.records import Pair\nfrom .layers import x",
        "world/layers.py": "",
        "world/unused.py": "",
        "world/data/layers.npz": "",
        "synthesis/__init__.py": "",
        "synthesis/run.py": "import torch\ndef f():\n    from geor1.world import scene\n    import geor1.runs",
    }
    for name, text in sources.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    found = {path.relative_to(root).as_posix() for path in keys.source_files("geor1.synthesis", root)}
    assert found == {
        "records.py", "world/__init__.py", "world/scene.py", "world/layers.py", "world/data/layers.npz",
        "synthesis/__init__.py", "synthesis/run.py",
    }  # fmt: skip


def test_folder_without_manifest_is_read_by_content(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.jsonl").write_text("1")
    (folder / "a.jpg").write_bytes(b"12")
    before = keys.fingerprint(folder)
    (folder / "a.jpg").write_bytes(b"34")
    assert keys.fingerprint(folder) != before
    (folder / "a.jpg").write_bytes(b"12")
    assert keys.fingerprint(folder) == before
    (folder / "a.jsonl").write_text("2")
    assert keys.fingerprint(folder) != before
    assert keys.fingerprint({"x": [folder], "y": None})["y"] is None
    with pytest.raises(FileNotFoundError, match="no such input"):
        keys.fingerprint(tmp_path / "absent")


def test_half_written_run_is_called_again_and_is_no_input(tmp_path: Path) -> None:
    def dies(config: ToyConfig, run_dir: Path) -> Path:
        (run_dir / "result.json").write_text("{")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run_toy(tmp_path, dies)
    (folder,) = (tmp_path / "runs" / "miniature" / STAGE).iterdir()
    assert not (folder / "manifest.json").exists() and "power cut" in (folder / "log.txt").read_text()
    with pytest.raises(runs.ManifestError, match="this run is not finished"):
        run_toy(tmp_path, steps=9, inputs={"data": folder / "result.json"})
    finished = run_toy(tmp_path)
    assert finished.path == folder and not finished.cached and finished.manifest["attempts"] == 2


def test_a_product_outside_the_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(runs.ManifestError, match="expected an existing path in its run folder"):
        run_toy(tmp_path, lambda config, run_dir: tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], r"manifest.json: not JSON .* delete .*manifest.json"),
        (lambda text: "", r"not JSON"),
        (lambda text: "[]", r"expected an object, got list"),
        (lambda text: text.replace('"accuracy": 0.5', '"accuracy": 0.9'), r"does not fit its checksum"),
        (lambda text: text.replace('"products"', '"product_s"'), r"expected 'products' as list, got None"),
        (lambda text: text.replace('"schema": 1', '"schema": 99'), r"expected schema 1, got 99"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    path = run_toy(tmp_path).path / "manifest.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(runs.ManifestError, match=message):
        run_toy(tmp_path)
    path.unlink()  # the way out that the message names
    assert not run_toy(tmp_path).cached


def test_changed_or_missing_products_are_named(tmp_path: Path) -> None:
    folder = run_toy(tmp_path).path
    (folder / "result.json").write_text('{"steps": 4}')
    with pytest.raises(runs.ManifestError, match=r"result.json: its content is not what the run wrote"):
        run_toy(tmp_path)
    (folder / "result.json").unlink()
    with pytest.raises(runs.ManifestError, match=r"result.json: the run wrote this file, and it is gone"):
        run_toy(tmp_path)


def test_manifest_of_another_run_is_refused(tmp_path: Path) -> None:
    one, two = run_toy(tmp_path), run_toy(tmp_path, steps=5)
    (one.path / "manifest.json").write_text((two.path / "manifest.json").read_text())
    with pytest.raises(runs.ManifestError, match="not of this folder"):
        run_toy(tmp_path)


# --- processes, kills, disks -----------------------------------------------------------------------------------------

SLOW_RUN = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, str(Path({tests!r})))
    from geor1 import runs
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Config:
        steps: int = 20

    def work(config, run_dir):
        done = [row["step"] for row in runs.read_metrics(run_dir)]
        for step in range(len(done) + 1, config.steps + 1):
            runs.append_metrics(run_dir, step, loss=1.0 / step)
            time.sleep({pause})
        (run_dir / "calls.log").open("a").write("x")
        return run_dir

    run = runs.run_stage("03_grpo", "miniature", Config(), work, {{}}, {runs_dir!r})
    print("cached" if run.cached else "made", run.path)
"""


def slow_run(tmp_path: Path, pause: float) -> subprocess.Popen[str]:
    code = textwrap.dedent(SLOW_RUN).format(
        tests=str(Path(__file__).parent), pause=pause, runs_dir=str(tmp_path / "runs")
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def lines_of(tmp_path: Path) -> int:
    return sum(path.read_text().count("\n") for path in (tmp_path / "runs").rglob("metrics.jsonl"))


def test_two_processes_share_one_run(tmp_path: Path) -> None:
    first = slow_run(tmp_path, 0.15)
    wait_for(lambda: lines_of(tmp_path) >= 2)
    second = slow_run(tmp_path, 0.15)
    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert "made" in outputs[0] and "cached" in outputs[1] and "another process is running" in outputs[1]
    (calls,) = (tmp_path / "runs").rglob("calls.log")
    assert calls.read_text() == "x" and lines_of(tmp_path) == 20


def test_a_killed_run_frees_its_lock_and_resumes(tmp_path: Path) -> None:
    first = slow_run(tmp_path, 0.05)
    wait_for(lambda: lines_of(tmp_path) >= 5)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    assert not list((tmp_path / "runs").rglob("manifest.json"))
    second = slow_run(tmp_path, 0.0)
    output = second.communicate(timeout=60)[0]
    assert "resuming" in output and "made" in output
    (path,) = (tmp_path / "runs").rglob("metrics.jsonl")
    assert runs.read_metrics(path.parent) == [{"step": step, "loss": 1.0 / step} for step in range(1, 21)]


def test_a_lock_held_too_long_is_named(tmp_path: Path) -> None:
    holder = slow_run(tmp_path, 0.2)
    wait_for(lambda: lines_of(tmp_path) >= 1)
    (path,) = (tmp_path / "runs").rglob("metrics.jsonl")
    with pytest.raises(filelock.Timeout):
        filelock.FileLock(path.parent / ".lock").acquire(timeout=0)
    held = pytest.raises(runs.RunLockedError, match="another process has been running this key for 0 s")
    with held, stages._locked(path.parent, 0, 0.1):
        raise AssertionError("got the lock")
    holder.kill()
    holder.communicate(timeout=60)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_is_clear_and_nothing_counts_as_finished(tiny_disk: Path) -> None:
    def fills(config: ToyConfig, run_dir: Path) -> Path:
        (run_dir / "result.json").write_text("1")
        (run_dir / "big.bin").write_bytes(bytes(3_000_000))
        return run_dir

    def run(work: Callable[..., Path]) -> runs.RunFolder:
        return runs.run_stage(STAGE, "miniature", ToyConfig(steps=3), work, {}, tiny_disk / "runs", min_free_bytes=0)

    with pytest.raises(runs.DiskFullError, match=r"the disk is full \(.* MB free\); nothing half-written"):
        run(fills)
    (folder,) = (tiny_disk / "runs" / "miniature" / STAGE).iterdir()
    assert not (folder / "manifest.json").exists()
    with pytest.raises(runs.DiskFullError):  # still full: the manifest itself does not fit
        run(lambda config, run_dir: run_dir)
    assert not (folder / "manifest.json").exists() and not list(folder.glob("*.partial"))
    (folder / "big.bin").unlink()
    assert not run(toy_work).cached


def test_too_little_room_is_said_before_the_work(tiny_disk: Path) -> None:
    with pytest.raises(runs.DiskFullError, match=r"50 MB are needed, 1.0 MB are free"):
        runs.run_stage(STAGE, "miniature", ToyConfig(steps=3), toy_work, {}, tiny_disk / "runs")
    assert not (tiny_disk / "runs").exists()


def test_atomic_write_keeps_the_old_content_on_a_full_disk(tiny_disk: Path) -> None:
    path = runs.atomic_write_text(tiny_disk / "a.txt", "old")
    with pytest.raises(runs.DiskFullError, match=r"a.txt: the disk is full"):
        runs.atomic_write_text(path, "x" * 3_000_000)
    assert path.read_text() == "old" and [item.name for item in tiny_disk.iterdir()] == ["a.txt"]


def test_full_disk_in_a_library_s_words() -> None:
    with pytest.raises(runs.DiskFullError) as caught, disk_full_is_clear("."):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(ValueError, match="other"), disk_full_is_clear("."):
        raise ValueError("other")


# --- upstream --------------------------------------------------------------------------------------------------------


def chain(tmp_path: Path, profile: str, *, steps: int = 3, data_steps: int = 3, seed: int = 0) -> Path:
    """Make runs of 01 and 02 as their notebooks would; return the folder of 02."""
    place = tmp_path / "runs"
    data = runs.run_stage("01_data_synthesis", profile, ToyConfig(data_steps, 0.5, seed=seed), toy_work, {}, place)
    config = ToyConfig(steps, 0.5, seed=seed)
    return runs.run_stage("02_scaffold_sft", profile, config, toy_work, {"data": data.path}, place).path


def test_upstream_finds_the_run_of_the_profile_and_seed(toy_notebooks: Path, tmp_path: Path) -> None:
    plain, other_seed = chain(tmp_path, "miniature"), chain(tmp_path, "miniature", seed=1)
    other_steps = chain(tmp_path, "miniature", steps=9)
    other_data = chain(tmp_path, "miniature", data_steps=9)  # right parameters, but data that are not the profile's
    found = [runs.upstream("02_scaffold_sft", "miniature", tmp_path / "runs", seed=seed) for seed in (0, 1)]
    assert found == [plain, other_seed]
    assert runs.upstream("02_scaffold_sft", "miniature", tmp_path / "runs", seed=0, steps=9) == other_steps
    assert len({plain, other_seed, other_steps, other_data}) == 4


def test_an_input_asked_for_by_override_counts_as_the_profile_s(toy_notebooks: Path, tmp_path: Path) -> None:
    place, parts = tmp_path / "runs", {}
    for name, steps in (("plain", 3), ("longer", 9)):
        runs.run_stage("01_data_synthesis", "miniature", ToyConfig(steps, 0.5), toy_work, {}, place)
        parts[name] = runs.upstream("01_data_synthesis", "miniature", place, steps=steps)

    def work(config: ToyConfig, run_dir: Path, parts: dict[str, Path]) -> Path:
        return run_dir

    made = runs.run_stage("02_scaffold_sft", "miniature", ToyConfig(3, 0.5), work, {"parts": parts}, place)
    assert made.manifest["inputs"]["parts"]["longer"]["asked_for"] == {"steps": 9}
    assert runs.upstream("02_scaffold_sft", "miniature", place, seed=0) == made.path


def test_upstream_of_edited_code_or_damaged_run_does_not_count(
    toy_notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = chain(tmp_path, "miniature")
    find = lambda: runs.find_runs("02_scaffold_sft", "miniature", tmp_path / "runs", seed=0)  # noqa: E731
    assert [run.path for run in find()] == [folder]
    with monkeypatch.context() as patch:
        patch.setattr("geor1.runs.pipeline.code_version", lambda stage: "edited")
        assert find() == []
    (folder / "result.json").unlink()
    assert find() == [] and "left out" in caplog.text


def test_a_profile_may_name_a_part_of_a_group_of_parameters() -> None:
    defaults = {"teaching": {"model": "", "samples": 4, "templates": ["positive"]}, "seed": 0}
    manifest = {"defaults": defaults, "parameters": {**defaults, "teaching": {**defaults["teaching"], "model": "a"}}}
    assert _has_parameters(manifest, {"teaching": {"model": "a"}})
    assert not _has_parameters(manifest, {"teaching": {"model": "b"}}) and not _has_parameters(manifest, {})
    assert not _has_parameters(manifest, {"teaching": {"model": "a", "samples": 2}})
    assert not _has_parameters(manifest, {"teaching": {"model": "a", "sampels": 4}})


# --- metrics, progress, logs -----------------------------------------------------------------------------------------


def test_metrics_survive_a_torn_line_and_are_cut_back(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        runs.append_metrics(tmp_path, step, loss=step / 2, rate=float("nan"), name="a")
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 4, "lo')
    assert [row["step"] for row in runs.read_metrics(tmp_path)] == [1, 2, 3]
    runs.append_metrics(tmp_path, 4, loss=2.0)
    assert runs.read_metrics(tmp_path)[2:] == [
        {"step": 3, "loss": 1.5, "rate": None, "name": "a"},
        {"step": 4, "loss": 2.0},
    ]
    runs.truncate_metrics(tmp_path, 2)
    assert [row["step"] for row in runs.read_metrics(tmp_path)] == [1, 2]
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(runs.ManifestError, match=r"metrics.jsonl line 1: not JSON"):
        runs.read_metrics(tmp_path)
    assert runs.read_metrics(tmp_path / "absent") == []


def test_headless_progress_is_a_few_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GEOR1_PROGRESS", "lines")
    monkeypatch.setattr("geor1.runs.bars._FIRST_LINE_AFTER_S", 0.0)
    with runs.Progress("steps", total=1000, unit="step") as shown:
        for step in range(1000):
            shown.update(loss=1 / (step + 1))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0].startswith("steps: 200/1000 step in ") and lines[-1].endswith("(loss 0.001)")
    monkeypatch.setattr("geor1.runs.bars._FIRST_LINE_AFTER_S", 60.0)
    assert list(runs.progress(range(50), description="quick")) == list(range(50))
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_log_is_closed_and_levels_restored(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers), logging.getLogger("geor1").level
    with runs.log_to(tmp_path):
        logging.getLogger("other.library").warning("careful")
    logging.getLogger("geor1").warning("afterwards")
    assert "careful" in (tmp_path / "log.txt").read_text() and "afterwards" not in (tmp_path / "log.txt").read_text()
    assert (list(logging.getLogger().handlers), logging.getLogger("geor1").level) == before


SERVER_ELSEWHERE = {
    "server_url": "http://other:1/v1", "concurrency": 3, "timeout_s": 9.0, "max_attempts": 2, "any_server": True,
    "key_variable": "OURS",
}  # fmt: skip


def test_where_a_server_stands_is_no_part_of_a_key() -> None:
    from geor1.evaluation.config import EvaluationConfig
    from geor1.synthesis.config import SynthesisConfig
    from geor1.synthesis.teacher.config import TeacherConfig

    there = SERVER_ELSEWHERE

    def key(config: Any) -> str:
        """Key of a run of this config without inputs."""
        return keys.run_key(STAGE, config, {})

    assert key(EvaluationConfig(**there)) == key(EvaluationConfig())
    assert key(EvaluationConfig(max_new_tokens=9)) != key(EvaluationConfig())
    with_teacher = [SynthesisConfig(teaching=TeacherConfig(model="t", **more)) for more in ({}, there, {"seed": 1})]
    assert key(with_teacher[0]) == key(with_teacher[1]) != key(with_teacher[2])


@pytest.mark.parametrize("profile", ["paper", "qwen2.5-vl-7b", "single-gpu-24gb", "smoke"])
def test_a_run_answers_to_its_own_profile(profile: str) -> None:
    """A profile names a few fields of the teacher; the run has all of them, and its server may have moved."""
    from geor1.evaluation.config import EvaluationConfig
    from geor1.synthesis.config import SynthesisConfig

    synthesis = runs.configure(SynthesisConfig, "01_data_synthesis", profile)
    evaluation = runs.configure(EvaluationConfig, "04_evaluation", profile)
    for stage, config in (("01_data_synthesis", synthesis), ("04_evaluation", evaluation)):
        manifest, wanted = stages._parameters(config), runs.load_profile(profile)[stage]
        assert pipeline._has_parameters(manifest, wanted)
        assert not pipeline._has_parameters(manifest, {**wanted, "seed": 77})
    moved = dataclasses.replace(synthesis, teaching=dataclasses.replace(synthesis.teaching, **SERVER_ELSEWHERE))
    wanted = runs.load_profile(profile)["01_data_synthesis"]
    assert pipeline._has_parameters(stages._parameters(moved), wanted)
    other = dataclasses.replace(synthesis, teaching=dataclasses.replace(synthesis.teaching, model="other"))
    assert not pipeline._has_parameters(stages._parameters(other), wanted)
    wanted = {**runs.load_profile(profile)["04_evaluation"], "server_url": "http://yet.another/v1"}
    assert pipeline._has_parameters(stages._parameters(evaluation), wanted)
