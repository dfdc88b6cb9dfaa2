"""What is built holds what a user needs and nothing else, and works where it is installed."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

import llmrouter

ROOT = Path(__file__).parents[1]
DATA = {
    "llmrouter/py.typed",
    "llmrouter/data/capabilities.yaml",
    "llmrouter/tokens/o200k_base.tiktoken.gz",
    "llmrouter/dashboard/static/page.css",
    "llmrouter/dashboard/static/page.html",
    "llmrouter/dashboard/static/page.js",
    "llmrouter/dashboard/static/uplot.LICENSE",
    "llmrouter/dashboard/static/uplot.min.css",
    "llmrouter/dashboard/static/uplot.min.js",
}
MODULES = {"llmrouter/__init__.py", "llmrouter/__main__.py", "llmrouter/offline.py", "llmrouter/cli/app.py"}
ARTICLE = ROOT / "examples" / "article.txt"

pytest.importorskip("hatchling", reason="hatchling is not installed")


class Built(NamedTuple):
    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build both from this checkout, with the build backend that is installed: nothing is fetched."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder), cwd=ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, sdist)


def run(*command: str, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=280, stdin=subprocess.DEVNULL
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def in_wheel(built: Built) -> set[str]:
    with zipfile.ZipFile(built.wheel) as archive:
        return set(archive.namelist())


def in_sdist(built: Built) -> set[str]:
    with tarfile.open(built.sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


# ------------------------------------------------------------------------------------------------ what is in it


def test_the_wheel_holds_code_and_data(built: Built) -> None:
    assert in_wheel(built) >= DATA | MODULES


def test_the_wheel_holds_every_module_of_the_package(built: Built) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "llmrouter").rglob("*.py")}
    assert {name for name in in_wheel(built) if name.endswith(".py")} == modules


def test_the_wheel_holds_nothing_else(built: Built) -> None:
    others = {name for name in in_wheel(built) - DATA if not name.endswith(".py")}
    info = f"llmrouter-{llmrouter.__version__}.dist-info"
    assert others == {
        f"{info}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "sboms/sbom.cdx.json")
    }
    assert {name.partition("/")[0] for name in in_wheel(built)} == {"llmrouter", info}


def test_the_bill_of_materials_says_what_is_inside() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "gen_sbom.py"))["text"]()
    committed = (ROOT / "docs" / "sbom.cdx.json").read_text(encoding="utf-8")
    assert committed == made, "the bill is stale: python docs/gen_sbom.py"


def test_the_bill_of_materials_is_a_cyclonedx_document() -> None:
    pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (ROOT / "docs" / "sbom.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_version_is_the_packages_own(built: Built) -> None:
    assert built.wheel.name == f"llmrouter-{llmrouter.__version__}-py3-none-any.whl"


def test_the_sdist_can_be_tested(built: Built) -> None:
    needed = {"pyproject.toml", "routes.yaml", "routes.schema.json", "README.md", "LICENSE", "tests/conftest.py"}
    assert in_sdist(built) >= needed | DATA | MODULES


def test_neither_holds_what_a_machine_leaves_behind(built: Built) -> None:
    left = (
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
        ".pytest_cache",
        "node_modules",
        ".env",
        ".git/",
    )
    for name in in_wheel(built) | in_sdist(built):
        assert not any(each in name for each in left), name
        assert not name.endswith((".pyc", ".db", ".sqlite")), name


def test_the_wheel_is_small(built: Built) -> None:
    assert built.wheel.stat().st_size < 3 * 2**20


# ------------------------------------------------------------------------------------------------ where it is installed


class Installed(NamedTuple):
    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def command(self) -> str:
        return str(self.folder / "bin" / "llmrouter")

    def files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if "llmrouter" in path.name}


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A fresh environment with the wheel and its dependencies, from the package index."""
    if "LLMROUTER_REQUIRE_AIMOCK" not in os.environ:
        pytest.skip("installs from the package index; LLMROUTER_REQUIRE_AIMOCK=1, as .ci/run sets it, asks for that")
    found = Installed(tmp_path_factory.mktemp("venv"))
    run(sys.executable, "-m", "venv", str(found.folder), cwd=ROOT)
    run(found.python, "-m", "pip", "install", "--quiet", str(built.wheel), cwd=found.folder)
    return found


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_it_runs_as_a_command_and_as_a_module(installed: Installed, tmp_path: Path) -> None:
    said = f"llmrouter {llmrouter.__version__}\n"
    assert run(installed.command, "--version", cwd=tmp_path).stdout == said
    assert run(installed.python, "-m", "llmrouter", "--version", cwd=tmp_path).stdout == said


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_without_a_file_a_target_can_be_asked(installed: Installed, tmp_path: Path) -> None:
    done = run(installed.command, "chat", "python/llmrouter.offline:summarize", "-f", str(ARTICLE), cwd=tmp_path)
    assert 0 < len(done.stdout) < len(ARTICLE.read_text(encoding="utf-8")) / 2


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_without_a_file_a_route_is_not_found_and_the_remedy_is_named(installed: Installed, tmp_path: Path) -> None:
    done = run(installed.command, "chat", "summarize", "-f", str(ARTICLE), cwd=tmp_path, status=2)
    assert "`llmrouter init` writes one" in done.stderr


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_what_init_writes_answers_without_any_key(installed: Installed, tmp_path: Path) -> None:
    run(installed.command, "init", cwd=tmp_path)
    assert run(installed.command, "chat", "summarize", "-f", str(ARTICLE), cwd=tmp_path).stdout.strip()


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_tokens_are_counted_from_the_bundled_vocabulary(installed: Installed, tmp_path: Path) -> None:
    code = "from llmrouter import Router; print(Router({}).count_tokens('openai/gpt-6-luna', 'hello world'))"
    assert "exact=True" in run(installed.python, "-c", code, cwd=tmp_path).stdout


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_its_requirements_fit_together(installed: Installed, tmp_path: Path) -> None:
    assert "No broken requirements" in run(installed.python, "-m", "pip", "check", cwd=tmp_path).stdout


def test_uninstalling_leaves_nothing(built: Built, tmp_path: Path) -> None:
    bare = Installed(tmp_path / "bare")
    run(sys.executable, "-m", "venv", str(bare.folder), cwd=tmp_path)
    run(bare.python, "-m", "pip", "install", "--quiet", "--no-deps", str(built.wheel), cwd=tmp_path)
    assert bare.files()
    run(bare.python, "-m", "pip", "uninstall", "--yes", "llmrouter", cwd=tmp_path)
    assert bare.files() == set()
