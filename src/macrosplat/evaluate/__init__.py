"""Evaluate: a run and the truth in, figures out. Nothing that reconstructs imports this room or reads the truth."""
