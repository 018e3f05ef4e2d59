"""What packages show: every public name is there, and looking loads nothing heavy."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

PACKAGES = ["labels", "models", "contexts", "realise"]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_there_and_none_is_hidden_by_its_module(name):
    package = importlib.import_module(f"tiltlm.{name}")
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    for public in package.__all__:
        value = getattr(package, public)
        is_module = type(value).__name__ == "module"
        assert (public in modules) == is_module, public


@pytest.mark.parametrize("name", PACKAGES)
def test_importing_a_package_loads_neither_torch_nor_transformers(name):
    code = f"import sys, tiltlm.{name}; print({{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
