"""Conclusions from term graphs that several rules share; each module answers one kind of question."""
