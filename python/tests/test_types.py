"""The type stubs describe the extension module, and the package exports it."""

import ast
import inspect
import unittest
from pathlib import Path

import taonet
from taonet import _native

STUBS = ast.parse((Path(taonet.__file__).parent / "_native.pyi").read_text())
CLASSES = {node.name: node for node in STUBS.body if isinstance(node, ast.ClassDef)}
TYPED_DICTS = {
    name for name, node in CLASSES.items()
    if any(isinstance(base, ast.Name) and base.id in {"TypedDict", "_EpochInput"} for base in node.bases)
}
FUNCTIONS = {node.name: node for node in STUBS.body if isinstance(node, ast.FunctionDef)}


def public(owner):
    return {name for name in vars(owner) if not name.startswith("_")}


def parameters(node):
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    return [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]


class Stubs(unittest.TestCase):
    def test_stubs_have_every_name_of_the_module(self):
        described = (CLASSES.keys() - TYPED_DICTS) | FUNCTIONS.keys()
        self.assertEqual(described, public(_native))

    def test_stubs_have_every_member_of_every_class(self):
        for name in CLASSES.keys() - TYPED_DICTS:
            owner = getattr(_native, name)
            if issubclass(owner, Exception):
                continue
            members = {node.name: node for node in CLASSES[name].body if isinstance(node, ast.FunctionDef)}
            self.assertEqual({member for member in members if not member.startswith("_")}, public(owner), name)
            for member, node in members.items():
                found = owner if member == "__new__" else getattr(owner, member)
                if callable(found) and not member.startswith("__") or member == "__new__":
                    expected = [each for each in inspect.signature(found).parameters if each != "self"]
                    self.assertEqual(parameters(node), expected, f"{name}.{member}")

    def test_stubs_have_the_parameters_of_every_function(self):
        for name, node in FUNCTIONS.items():
            self.assertEqual(parameters(node), list(inspect.signature(getattr(_native, name)).parameters), name)

    def test_package_exports_what_users_need(self):
        internal = {"Verifier", "Request"}
        self.assertEqual(set(taonet.__all__), public(_native) - internal | {"SignedMiddleware", "__version__"})
        self.assertTrue((Path(taonet.__file__).parent / "py.typed").is_file())


if __name__ == "__main__":
    unittest.main()
