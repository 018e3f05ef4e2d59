"""SmolLM2 and its tilt, exported for each engine."""

import pytest

from tiltlm.commands.tilt import run_tilt
from tiltlm.recipes.tilt import recipe_of
from tiltlm.serving.export.exporting import ExportOptions, export

TARGET = "tilt(contains('x'), 1)"


@pytest.fixture(scope="session")
def tilted(tmp_path_factory):
    out = tmp_path_factory.mktemp("tilted") / "out"
    run_tilt(recipe_of("smollm2", {"target": TARGET}, {}), out)
    return out


@pytest.fixture(scope="session")
def exported(tilted, tmp_path_factory):
    """Exports, each made once."""
    made = {}

    def make(engine, **options):
        key = engine, *sorted(options.items())
        if key not in made:
            out = tmp_path_factory.mktemp("export") / "out"
            export(str(tilted), engine, out, ExportOptions(**options))
            made[key] = out
        return made[key]

    return make
