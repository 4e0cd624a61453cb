"""Where the SQL files and recipes lie: inside an installed wheel, or in the repository."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def _folder(in_wheel: str, in_repository: str) -> Path:
    shipped = PACKAGE / in_wheel
    return shipped if shipped.is_dir() else PACKAGE.parent / in_repository


def sql_folder() -> Path:
    """The folder of the tables, macros and views, and of `reports/`."""
    return _folder("_sql", "sql")


def recipes_folder() -> Path:
    """The folder of the shipped training recipes, one TOML file each."""
    return _folder("_recipes", "train/recipes")
