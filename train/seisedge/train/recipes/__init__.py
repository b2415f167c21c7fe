"""Recipes: data, model and training parameters, one TOML file each."""
