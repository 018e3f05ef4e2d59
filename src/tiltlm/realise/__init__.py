"""Realisations: how a model is made to follow a target."""
