"""Audits an unchanged script, in a Python of its own that begins to watch when it has imported a framework.

`supervisor` and `child` belong to the process that the person starts, `site/sitecustomize.py` and `inside` to
the script's process and to every Python process below it.
"""
