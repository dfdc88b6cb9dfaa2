"""Spans, metrics, and observers that programs add."""
