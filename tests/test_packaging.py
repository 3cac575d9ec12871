"""What the repository promises as a whole: pins that agree, tidy notebooks, house rules, light imports."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from geor1.runs import STAGES, load_profile, profile_names
from geor1.runs.launch import CPU_ENVIRONMENT, QUIET_ENVIRONMENT
from geor1.runs.notebook import notebook_declarations

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOURCES = sorted((ROOT / "geor1").rglob("*.py"))
GPU_EXTRAS = ("vllm", "qlora")  # in nobody's environment.yml
STAGE_FOLDERS = ("synthesis", "sft", "grpo", "evaluation", "maps")
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: list[str]) -> dict[str, str]:
    """Name -> version of the exact pins among some lines."""
    found = (re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line.strip()) for line in lines)
    return {normal(pin[1]): pin[2] for pin in found if pin}


def constraints() -> dict[str, str]:
    return pins((ROOT / "constraints.txt").read_text().splitlines())


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def direct_requirements() -> list[str]:
    extras = project()["optional-dependencies"]
    named = [
        *project()["dependencies"],
        *(item for extra in extras if extra not in GPU_EXTRAS for item in extras[extra]),
    ]
    return [item for item in named if not item.startswith("geor1")]


# --- dependencies ----------------------------------------------------------------------------------------------------


def test_environment_has_the_pins_of_the_constraints() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip_lines = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    conda = pins(pip_lines)
    assert conda == {name: version for name, version in constraints().items() if name in conda}
    assert set(conda) == {normal(re.match(r"[\w.-]+", item)[0]) for item in direct_requirements()}
    assert "-c constraints.txt" in pip_lines


def test_bounds_not_pins_and_every_pin_within_them() -> None:
    from packaging.requirements import Requirement

    for item in direct_requirements():
        requirement = Requirement(item)
        assert "==" not in item, f"{item}: bounds belong in pyproject.toml, pins in constraints.txt"
        assert constraints()[normal(requirement.name)] in requirement.specifier, item


def test_constraints_are_exact_and_name_no_local_build() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert len(constraints()) == len(lines)
    assert all("+" not in version for version in constraints().values())


def test_what_is_installed_is_what_is_pinned() -> None:
    import importlib.metadata

    differing = {}
    for item in direct_requirements():
        name = normal(re.match(r"[\w.-]+", item)[0])
        try:
            installed = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed
        if installed != constraints()[name]:
            differing[name] = (installed, constraints()[name])
    if differing:
        pytest.skip(f"this environment was not made with constraints.txt: {differing}")


def test_package_data_exist_and_are_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["geor1"]
    covered = {path for pattern in declared for path in (ROOT / "geor1").glob(pattern)}
    others = {path for path in (ROOT / "geor1").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others <= covered, f"not shipped: {sorted(path.name for path in others - covered)}"
    assert sum(path.stat().st_size for path in covered) < 20e6


def test_scripts_and_make_agree() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "lab", "reproduce", "lint", "help", "bench"):
        assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE), f"make {target} is missing or not described"
    for scope, variables in (("", QUIET_ENVIRONMENT), ("test: ", CPU_ENVIRONMENT)):
        for name, value in variables.items():
            assert f"\n{scope}export {name} := {value}\n" in makefile
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK) and "OMP_WAIT_POLICY=passive" in script.read_text()
    assert project()["scripts"]["geor1"] == "geor1.cli:main"


# --- notebooks and profiles ------------------------------------------------------------------------------------------


def cells(notebook: Path, kind: str = "code") -> list[dict[str, Any]]:
    document = json.loads(notebook.read_text(encoding="utf-8"))
    return [cell for cell in document["cells"] if cell["cell_type"] == kind]


def test_no_other_notebooks_than_the_stages() -> None:
    assert {path.stem for path in NOTEBOOKS} <= {*STAGES, "out"}


@each_notebook
def test_notebook_carries_no_outputs(notebook: Path) -> None:
    for cell in cells(notebook):
        assert not cell["outputs"] and cell["execution_count"] is None, "".join(cell["source"])
    assert json.loads(notebook.read_text())["metadata"]["kernelspec"] == {
        "display_name": "Python 3", "language": "python", "name": "python3",
    }  # fmt: skip


@each_notebook
def test_notebook_only_chooses_calls_and_looks(notebook: Path) -> None:
    for cell in cells(notebook):
        text = "".join(cell["source"])
        tree = ast.parse(text)  # refuses ! and % too
        defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert not defined, f"defines something: {text}"
        assert len(text.splitlines()) <= 20, f"{len(text.splitlines())} lines: {text}"
        assert not re.search(r"""["'](/|~|[A-Z]:\\)\w""", text), f"an absolute path: {text}"
        assert not re.search(r"^[!%]|pip install|get_ipython", text, re.MULTILINE), text
    assert len(cells(notebook)) + len(cells(notebook, "markdown")) <= 35


@each_notebook
def test_notebook_text_is_markdown(notebook: Path) -> None:
    texts = cells(notebook, "markdown")
    assert "".join(texts[0]["source"]).startswith("# ")
    for cell in texts:
        lines = [line for line in "".join(cell["source"]).splitlines() if line.strip()]
        assert len(lines) < 2 or not all(line.startswith("#") for line in lines), "comment marks before the text"


@each_notebook
def test_notebook_parameters_repeat_the_miniature_profile(notebook: Path) -> None:
    declared = notebook_declarations(notebook)
    assert 2 <= len(declared) <= 12
    assert declared["profile"].value == "miniature"
    assert declared["runs_dir"].value == "../runs"
    section = load_profile("miniature")[notebook.stem]
    shown = {name: one.value for name, one in declared.items() if name in section}
    assert shown == {name: section[name] for name in shown}
    for name, one in declared.items():
        assert one.comment, f"{name}: say unit and meaning behind it"
        assert type(one.value) is one.annotation or one.annotation not in (int, float, str, bool), name
    for profile in profile_names():  # else the literal would silently win over that profile's value
        missing = set(load_profile(profile)[notebook.stem]) & set(declared) - set(section)
        assert not missing, f"{missing}: in profile {profile} and in the notebook, but not in miniature.yaml"


@pytest.mark.parametrize("profile", profile_names())
def test_profiles_fit_their_configs(profile: str) -> None:
    import importlib

    from geor1.runs import configure
    from geor1.runs.keys import STAGE_PACKAGES

    for stage, package in STAGE_PACKAGES.items():
        if not (ROOT / package.replace(".", "/") / "config.py").is_file():
            continue
        module = importlib.import_module(f"{package}.config")
        (config_class,) = [item for name, item in vars(module).items() if name.endswith("Config") and hasattr(
            item, "__dataclass_fields__") and item.__module__ == module.__name__]  # fmt: skip
        configure(config_class, stage, profile)


# --- house rules -----------------------------------------------------------------------------------------------------


def public(node: ast.AST) -> bool:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return isinstance(node, kinds) and not node.name.startswith("_")


@each_source
def test_sizes(source: Path) -> None:
    text = source.read_text()
    assert len(text.splitlines()) <= 400, f"{source}: {len(text.splitlines())} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{source.name}: {node.name} has {length} lines"
    assert source.name != "utils.py"


@each_source
def test_docstrings_and_annotations(source: Path) -> None:
    tree = ast.parse(source.read_text())
    assert ast.get_docstring(tree) or not tree.body, f"{source.name}: the module says nothing of itself"
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) and public(node) else []
        for item in (node, *members):
            if public(item):
                assert ast.get_docstring(item), f"{source.name}: {item.name} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [one.arg for one in arguments if one.annotation is None and one.arg not in ("self", "cls")]
            assert not bare and node.returns is not None, f"{source.name}: {node.name} is not annotated ({bare})"


@each_source
def test_nothing_dangerous(source: Path) -> None:
    tree = ast.parse(source.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            silent = all(isinstance(step, ast.Pass) for step in node.body)
            broad = node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException")
            assert not (silent and broad), f"{source.name} line {node.lineno}: swallows every exception"
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert getattr(node.value, "value", True) is False, f"{source.name}: trust_remote_code"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            assert getattr(node.func.value, "id", "") not in ("pickle", "joblib"), f"{source.name}: unpickles"


@each_source
def test_arrows_point_down(source: Path) -> None:
    """Stage folders never import each other; world, models and asking no stage; the ground floor nothing above it."""
    parts = source.relative_to(ROOT / "geor1").parts
    if parts[0] in ("cli.py", "__main__.py", "__init__.py"):
        return
    above = {
        "capacity": ("maps", "world"),  # plans whole profiles; nothing imports it
        "world": (*STAGE_FOLDERS, "asking"),
        "models": (*STAGE_FOLDERS, "world", "asking"),
        "asking": (*STAGE_FOLDERS, "world", "benchmarks", "general"),
        "benchmarks": ("sft", "grpo", "maps", "models"),
        "general": ("synthesis", "sft", "grpo", "maps", "world", "models"),
    }
    here = parts[0]
    floor = (*STAGE_FOLDERS, "world", "models", "asking")
    refused = [name for name in STAGE_FOLDERS if name != here] if here in STAGE_FOLDERS else above.get(here, floor)
    for name in imported(source):
        top = name.split(".")[1:2]
        assert not (top and name.startswith("geor1.") and top[0] in refused), f"{source.name} imports {name}"


def imported(source: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


LIGHT = (
    "geor1.geodesy", "geor1.answers", "geor1.records", "geor1.runs", "geor1.evaluation.statistics", "geor1.maps",
    "geor1.asking.selection", "geor1.asking.openai_backend", "geor1.asking.vllm_backend",
)  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_light_imports_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"import {module} loads torch {done.stderr}"


def tracked_text_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    suffixes = {".py", ".md", ".yaml", ".yml", ".toml", ".ipynb", ".txt", ".cff", ".json", ""}
    return [ROOT / name for name in names if Path(name).suffix in suffixes and (ROOT / name).is_file()]


def test_no_machine_paths_and_no_secrets() -> None:
    homes = "|".join(("ho" + "me", "ro" + "ot", "Us" + "ers", "wo" + "rk", "fa" + "rm"))
    path = re.compile(rf"(?<![\w.<]){chr(47)}(?:{homes}){chr(47)}\w")
    token = re.compile(r"hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY")
    files = tracked_text_files()
    if not files:
        pytest.skip("not a git checkout")
    for file in files:
        text = file.read_text(encoding="utf-8", errors="ignore")
        assert not path.search(text), f"{file}: {path.search(text)[0]}"
        assert not token.search(text), f"{file}: looks like a credential"
