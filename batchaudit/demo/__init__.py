"""`batchaudit demo`: real pipelines, played under real strategies, beside what is said of them.

Importing it imports no framework; playing it needs what the extra `demo` brings.
"""

from __future__ import annotations

from batchaudit.demo.run import EPOCHS, run_demo

__all__ = ["EPOCHS", "run_demo"]
