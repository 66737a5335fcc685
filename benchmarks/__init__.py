"""What watching costs, measured against baselines: `python -m benchmarks`, see README.md."""
