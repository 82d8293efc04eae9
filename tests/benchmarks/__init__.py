"""Benchmarks: ratios measured side by side in one run, for machines whose speed drifts."""
