"""Renderers: each takes findings and returns text."""
