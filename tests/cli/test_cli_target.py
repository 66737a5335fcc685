from __future__ import annotations

import sys

import pytest

from batchaudit.cli import target
from batchaudit.errors import UsageError

LOADER = """\
def make(size=2):
    for number in range(size):
        yield [number]

def needs(paths, size, *, seed, workers=1): ...

class Loaders:
    make = staticmethod(make)

made = [[1], [2]]
number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a file, a package and nothing else; what is imported from it is forgotten again."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loader_of_a_test.py").write_text(LOADER)
    (tmp_path / "package_of_a_test").mkdir()
    (tmp_path / "package_of_a_test" / "__init__.py").write_text("")
    (tmp_path / "package_of_a_test" / "loaders.py").write_text(LOADER)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.partition(".")[0].endswith("_of_a_test"):
            del sys.modules[name]


def message(text, load=target.load):
    with pytest.raises(UsageError) as caught:
        load(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "place", ["loader_of_a_test.py", "./loader_of_a_test.py", "package_of_a_test.loaders"]
)
@pytest.mark.parametrize("attribute", ["make", "Loaders.make"])
def test_forms_of_a_target(place, attribute):
    assert list(target.load(f"{place}:{attribute}")()) == [[0], [1]]


def test_a_source_itself_is_a_target():
    assert target.load("loader_of_a_test.py:made") == [[1], [2]]


def test_a_file_is_imported_once_and_under_its_stem(folder):
    make = target.load(f"{folder}/loader_of_a_test.py:make")
    assert make.__module__ == "loader_of_a_test"
    assert sys.modules["loader_of_a_test"].make is make
    assert sys.path[0] == str(folder)
    assert target.load("loader_of_a_test.py:make") is make


def test_the_file_of_a_package_in_the_current_folder_comes_first(folder):
    target.load("package_of_a_test.loaders:make")
    assert sys.path[0] == str(folder)


@pytest.mark.parametrize("text", ["loader_of_a_test.py", "loader_of_a_test.py:", ":make", "", ":"])
def test_half_a_target(text):
    assert "write 'module:attr' or 'path/to/file.py:attr'" in message(text)


def test_a_file_that_does_not_exist(folder):
    assert message("loader_of_a_tset.py:make") == (
        f"loader_of_a_tset.py:make: there is no file {folder}/loader_of_a_tset.py. "
        "Did you mean 'loader_of_a_test.py'?"
    )
    assert "there is no file" in message("none/loader.py:make")


def test_a_folder_is_no_file():
    assert "is a folder" in message("./package_of_a_test:make")


def test_a_module_that_does_not_exist(folder):
    assert f"there is no module 'zzz'. The current folder is {folder}" in message("zzz:make")
    assert "Did you mean 'loaders'?" in message("package_of_a_test.loader:make")
    assert "no name of a module" in message(".:make")


def test_an_attribute_that_does_not_exist():
    assert "has no attribute 'mak'. Did you mean 'make'" in message("loader_of_a_test.py:mak")
    assert "has no attribute 'zzz'. It has: make, needs, Loaders." in message("loader_of_a_test.py:zzz")
    assert "has no attribute 'zzz'" in message("loader_of_a_test.py:Loaders.zzz")


def test_neither_callable_nor_a_source():
    assert "of type int is neither a source of batches nor a callable" in message(
        "loader_of_a_test.py:number"
    )


def test_a_callable_that_needs_arguments():
    assert "loader_of_a_test.py:needs needs arguments (paths, size, seed)" in message(
        "loader_of_a_test.py:needs"
    )


def test_a_key_must_be_callable():
    assert "of type int is not callable" in message("loader_of_a_test.py:number", target.load_function)
    assert callable(target.load_function("loader_of_a_test.py:needs"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sys\n1 / 0\n", ":2): ZeroDivisionError: division by zero"),
        ("def f(:\n", ":1): SyntaxError"),
        ("\nimport sys; sys.exit(3)\n", ":2): it ends the program while it is imported (SystemExit: 3)"),
        ("import no_such_library\n", ":1): ModuleNotFoundError: No module named 'no_such_library'"),
        ("from . import other\n", "A file of a package is named by its module"),
    ],
)
@pytest.mark.parametrize("form", ["broken_of_a_test.py:make", "broken_of_a_test:make"])
def test_code_that_fails_when_it_is_imported(folder, code, expected, form):
    (folder / "broken_of_a_test.py").write_text(code)
    text = message(form)
    assert f"importing {form[:-5]} failed ({folder}/broken_of_a_test.py" in text
    assert expected in text
    assert "broken_of_a_test" not in sys.modules


def test_the_line_is_the_users_where_it_is_deeper(folder):
    (folder / "inner_of_a_test.py").write_text("def fail():\n    raise ValueError('x')\n")
    (folder / "outer_of_a_test.py").write_text("import inner_of_a_test\ninner_of_a_test.fail()\n")
    assert f"({folder}/inner_of_a_test.py:2): ValueError: x" in message("outer_of_a_test.py:make")


def test_ctrl_c_is_not_taken_for_a_failed_import(folder):
    (folder / "stopped_of_a_test.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        target.load("stopped_of_a_test.py:make")


@pytest.mark.parametrize("name", ["json.py", "pytest.py", "this.py"])
def test_a_file_with_the_name_of_another_module(folder, name):
    (folder / name).write_text(LOADER)
    assert f"{name} has the name of another module" in message(f"{name}:make")


@pytest.mark.parametrize("name", ["loader.txt", "my.loader.py"])
def test_a_file_that_workers_could_not_import(folder, name):
    (folder / name).write_text(LOADER)
    assert "cannot be imported by worker processes" in message(f"{name}:make")
