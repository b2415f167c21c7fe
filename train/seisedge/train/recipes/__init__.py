"""Recipes: what is trained on what, and how; one TOML file each."""
