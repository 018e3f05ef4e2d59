"""The house rules of docs/architecture.md and CONTRIBUTING.md, held against the sources."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import tiltlm

SOURCE = Path(tiltlm.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
PACKAGES = sorted(path.parent for path in MODULES if path.name == "__init__.py")
FILE_LINES, FUNCTION_LINES, POSITIONAL = 320, 60, 8


def functions(path):
    """Every function and method of a file, with whether it is public."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public_classes = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    for parent in ast.walk(tree):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.FunctionDef):
                inside = isinstance(parent, ast.Module) or (
                    isinstance(parent, ast.ClassDef) and parent.name in public_classes
                )
                dunder = node.name == "__init__"
                yield node, inside and (dunder or not node.name.startswith("_"))


def name_of(path):
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_is_long_and_no_function_either(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES
    for node, public in functions(path):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        assert node.end_lineno - first < FUNCTION_LINES, node.name
        positional = [a for a in [*node.args.posonlyargs, *node.args.args] if a.arg != "self"]
        # Commands of the command line have options, which typer takes from parameters.
        if public and path.parent.name != "cli":
            assert len(positional) <= POSITIONAL, node.name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_and_everything_public_in_it_says_what_it_is(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert (ast.get_docstring(tree) or "").strip(), "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            assert len(text.split()) > 3, f"{node.name}: {text!r}"


@pytest.mark.parametrize("folder", PACKAGES, ids=name_of)
def test_every_package_says_what_is_in_it_and_hands_on_what_it_names(folder):
    dotted = ".".join(folder.relative_to(SOURCE.parent).parts)
    package = importlib.import_module(dotted)
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
    if folder == SOURCE:
        return
    for path in folder.iterdir():
        is_module = path.suffix == ".py" and not path.name.startswith("_")
        is_package = (path / "__init__.py").is_file()
        if is_module or is_package:
            assert path.stem in (package.__doc__ or ""), f"{dotted} does not mention {path.stem}"


def test_a_name_of_a_face_is_the_thing_and_not_the_module_of_the_same_name():
    for folder in PACKAGES:
        dotted = ".".join(folder.relative_to(SOURCE.parent).parts)
        package = importlib.import_module(dotted)
        for path in folder.glob("*.py"):
            faces = [folder / name for name in ("__init__.py", "__init__.pyi")]
            text = "".join(face.read_text() for face in faces if face.is_file())
            if re.search(rf"\.{path.stem} import (?:\w+, )*{path.stem}\b", text):
                importlib.import_module(f"{dotted}.{path.stem}")
                assert callable(getattr(package, path.stem)), f"{dotted}.{path.stem}"


def test_the_kind_of_a_target_is_asked_of_the_target():
    kinds = {"FixedTarget", "StringTarget", "Reweighing", "WrappedTarget"}
    for path in MODULES:
        if path.parent.name == "targets":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                named = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
                kind = {name for name in named if name.startswith("Bound") or name in kinds}
                # That something is bound at all is no matter of its kind.
                kind -= {"BoundTarget", "BoundEvent"}
                assert not kind, f"{path}: {ast.unparse(node)}"


def test_no_code_of_a_stranger_is_trusted():
    # Without the argument transformers asks on standard input, and `yes |` answers.
    calls = 0
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("Auto"):
                if not ast.unparse(node.func).endswith(".from_pretrained"):
                    continue
                calls += 1
                given = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert given.get("trust_remote_code") == "False", f"{path}: {ast.unparse(node)}"
    assert calls >= 4


def test_nothing_is_pickled():
    # What reads a pickle runs whatever code its writer liked.
    named = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            assert not named & {name.split(".")[0] for name in imported}, path
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("torch.load", "torch.save"), path
