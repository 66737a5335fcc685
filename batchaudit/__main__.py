"""`python -m batchaudit`."""

from __future__ import annotations

from batchaudit.cli.main import main

if __name__ == "__main__":
    main(prog_name="batchaudit")
