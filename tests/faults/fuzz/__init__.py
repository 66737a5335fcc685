"""Coverage-guided fuzzing of what comes from elsewhere: `python -m tests.faults.fuzz TARGET --seconds N`.

`targets.py` says what must hold of any bytes, `seeds.py` makes the first inputs by real runs, and `found/` keeps the
inputs that have broken a promise, small. Only `child.py` needs atheris, the extra `fuzz`.
"""
