"""The rules of the house that can be read off the code: types, digests, scripts, and where the builder is imported."""

import ast
import functools
from pathlib import Path

from conftest import ROOT

RECIPES = ROOT / "recipes"
PACKAGES = ("chestxray", "multilabel_auroc")
SCRIPTS = {path.stem: path for path in RECIPES.glob("*.py")}
LIBRARY = {
    ".".join(path.relative_to(RECIPES).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((RECIPES / package).rglob("*.py"))
    if path.name != "app.py"  # a Space of its own
}
FILES = [*LIBRARY.values(), *SCRIPTS.values()]


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Each `module` or `module.name` that a file imports, absolute, with the name it has in the file."""
    here = next((module for module, file in LIBRARY.items() if file == path), path.stem)
    package = here if path.name == "__init__.py" else here.rpartition(".")[0]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *filter(None, [node.module])])
            yield from ((f"{module}.{alias.name}", alias.asname or alias.name) for alias in node.names)


def uses(path):
    """Each `module.name` of the library that a file imports by name or reaches as an attribute of a module."""
    known = dict(imports(path))
    modules = {local: module for module, local in known.items() if module in LIBRARY}
    yield from known
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in modules:
            yield f"{modules[ast.unparse(node.value)]}.{node.attr}"


def calls(path):
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]


def name(path):
    return Path(path).relative_to(ROOT).as_posix()


def functions():
    """{module.name: the definition} of the library's functions that stand at the top of a module."""
    return {
        f"{module}.{node.name}": node
        for module, path in LIBRARY.items()
        for node in tree_of(path).body
        if isinstance(node, ast.FunctionDef)
    }


def lacks_types(function):
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return function.returns is None or any(argument and argument.annotation is None for argument in arguments)


def test_functions_that_another_module_uses_have_types():
    defined = functions()
    used = {use for path in FILES for use in uses(path) if use in defined and LIBRARY[use.rpartition(".")[0]] != path}
    assert len(used) > 100
    untyped = sorted(use for use in used if lacks_types(defined[use]))
    assert not untyped, f"{len(untyped)} functions lack types of arguments or result:\n" + "\n".join(untyped)


def test_no_script_is_imported():
    assert len(SCRIPTS) > 5
    found = [
        f"{name(path)} imports {module}"
        for path in FILES
        for module, _ in imports(path)
        if module.partition(".")[0] in SCRIPTS
    ]
    assert not found, found


def test_only_files_py_moves_files_into_place_and_computes_digests():
    owner = LIBRARY["chestxray.files"]
    assert any(moves_a_file(call) for call in calls(owner)) and any(digests(call) for call in calls(owner))
    found = [
        f"{name(path)}, line {call.lineno}: {ast.unparse(call)}"
        for path in FILES
        if path != owner
        for call in calls(path)
        if moves_a_file(call) or digests(call)
    ]
    assert not found, found


def moves_a_file(call):
    """`os.replace(a, b)`, `os.rename(a, b)`, `path.replace(b)`, `path.rename(b)`: a text's `replace` takes two."""
    text = ast.unparse(call.func)
    alone = len(call.args) == 1 and not call.keywords
    return text in ("os.replace", "os.rename") or (text.endswith((".replace", ".rename")) and alone)


def digests(call):
    return ast.unparse(call.func).startswith(("hashlib.", "sha256", "md5"))


def test_the_builders_file_is_imported_in_one_place():
    found = [
        name(path)
        for path, tree in zip(FILES, map(tree_of, FILES), strict=True)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == "NIH-Chest-X-ray-dataset"
    ]
    assert len(found) == 1, found
