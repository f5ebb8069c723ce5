"""Checks that no module beside this one is found by its bare name, where it could shadow one of Python's own."""

import importlib.machinery
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent

for name in sys.stdlib_module_names | {path.stem for path in HERE.iterdir()}:
    spec = importlib.machinery.PathFinder.find_spec(name)
    found = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or [])]
    assert not any(HERE in pathlib.Path(place).resolve().parents for place in found), f"{name} is found in {found}"
