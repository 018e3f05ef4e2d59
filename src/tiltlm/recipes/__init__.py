"""Recipes: what an experiment does, as YAML that is checked before anything is done.

settings  reading YAML against a pydantic model; a mistake is told with its line
run       the recipe of `tiltlm run`: model, target, contexts, training, test
training  how a target is trained, as a user says it
placement where a model lies and how its weights are held, as a user says it
tilt      the recipe of `tiltlm tilt`: model, target, and how
*.yaml    the recipes of `tiltlm run` that are shipped

Knows the form of recipes, nothing of how they are carried out. Importing this package imports no
torch.
"""

from tiltlm.recipes.placement import Placement
from tiltlm.recipes.run import Recipe, list_recipes, load_recipe, read_recipe
from tiltlm.recipes.settings import read_settings
from tiltlm.recipes.tilt import TiltRecipe, raw_recipe, recipe_of
from tiltlm.recipes.training import PARAMETERS, Parameters, Training

__all__ = [
    "PARAMETERS",
    "Parameters",
    "Placement",
    "Recipe",
    "TiltRecipe",
    "Training",
    "list_recipes",
    "load_recipe",
    "raw_recipe",
    "read_recipe",
    "read_settings",
    "recipe_of",
]
