"""What is installed is what the checkout holds, and says the same about itself everywhere."""

from __future__ import annotations

import configparser
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import batchaudit

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = Path(batchaudit.__file__).parent


def distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("batchaudit")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("batchaudit is imported from the checkout here, not installed")


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def listed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def files_of(package: Path) -> set[str]:
    files = (path.relative_to(package) for path in package.rglob("*") if path.is_file())
    return {str(path) for path in files if "__pycache__" not in path.parts}


def test_the_versions_agree() -> None:
    assert distribution().version == batchaudit.__version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == batchaudit.__version__


def test_every_file_of_the_package_is_installed_and_no_other() -> None:
    assert files_of(INSTALLED) == files_of(ROOT / "batchaudit")
    assert {"py.typed", "cli/main.py"} <= files_of(INSTALLED)


def test_the_command_is_installed() -> None:
    (command,) = distribution().entry_points.select(group="console_scripts")
    assert (command.name, command.value) == ("batchaudit", "batchaudit.cli.main:main")
    assert callable(command.load())


def test_the_installed_command_runs() -> None:
    distribution()
    command = Path(sys.executable).with_name("batchaudit")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert batchaudit.__version__ in done.stdout


def test_setup_py_holds_two_lines_and_pyproject_no_metadata() -> None:
    assert len((ROOT / "setup.py").read_text(encoding="utf-8").splitlines()) == 2
    assert "[project]" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_what_a_strategy_tells_to_install_is_an_extra() -> None:
    from batchaudit.strategies import _DRIVERS

    extras = set(setup_cfg()["options.extras_require"])
    assert {extra for _, extra in _DRIVERS.values() if extra} <= extras


def test_every_requirement_has_a_tested_version() -> None:
    setup = setup_cfg()
    wanted = listed(
        "\n".join([setup["options"]["install_requires"], *setup["options.extras_require"].values()])
    )
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted} - {"batchaudit"}
    pinned = {line.split("==")[0] for line in listed((ROOT / "constraints.txt").read_text(encoding="utf-8"))}
    assert names <= pinned
