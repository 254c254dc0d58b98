"""Recipes: find, check and load the YAML files that name components and parameters."""

from mmrag.recipes.about import EmbedderInfo, RecipeInfo
from mmrag.recipes.components import COMPONENTS, Components, builtin_components
from mmrag.recipes.document import Problem
from mmrag.recipes.load import check, list_recipes, load_index, load_pipeline, show
from mmrag.recipes.schema import IndexRecipe, PipelineRecipe, SearchRecipe

__all__ = [
    "COMPONENTS",
    "Components",
    "EmbedderInfo",
    "IndexRecipe",
    "PipelineRecipe",
    "Problem",
    "RecipeInfo",
    "SearchRecipe",
    "builtin_components",
    "check",
    "list_recipes",
    "load_index",
    "load_pipeline",
    "show",
]
