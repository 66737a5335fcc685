from __future__ import annotations

import os
import sys

import pytest

from batchaudit.demo import requirements
from batchaudit.errors import UsageError


def test_all_missing_packages_are_named_with_the_command_that_brings_them():
    needed = {"numpy": "numpy", "no_such_module_a": "package-a", "no_such_module_b": "package-b"}
    with pytest.raises(UsageError, match=r"package-a, package-b: pip install 'batchaudit\[demo\]'") as caught:
        requirements.check(needed)
    assert "numpy" not in str(caught.value)


def test_nothing_is_imported_to_find_out():
    sys.modules.pop("this", None)
    requirements.check({"this": "python"})
    assert "this" not in sys.modules


def test_what_is_written_meanwhile_is_kept_off_standard_error(capfd):
    with requirements.quiet_imports():
        os.write(2, b"noise")
    os.write(2, b"said")
    assert capfd.readouterr().err == "said"


def test_what_was_kept_back_is_written_where_the_import_fails(capfd):
    with pytest.raises(ImportError), requirements.quiet_imports():
        os.write(2, b"the reason")
        raise ImportError
    assert capfd.readouterr().err == "the reason"
