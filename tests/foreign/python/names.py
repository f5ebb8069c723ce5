"""Checks that Python finds no module of this package by its bare name.

Such a module could shadow one of Python's own.
"""

import importlib.machinery
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent

for name in sys.stdlib_module_names | {path.stem for path in HERE.iterdir()}:
    spec = importlib.machinery.PathFinder.find_spec(name)
    found = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or [])]
    is_here = any(HERE in pathlib.Path(place).resolve().parents for place in found)
    assert not is_here, f"{name} is found in {found}"
