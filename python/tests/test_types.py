"""The type stubs describe the extension module, and the package exports it."""

import ast
import inspect
import json
import re
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


def fields(name):
    """Returns the keys of a typed dictionary in the stubs."""
    inherited = [fields(base.id) for base in CLASSES[name].bases if base.id in CLASSES]
    return {node.target.id for node in CLASSES[name].body if isinstance(node, ast.AnnAssign)}.union(*inherited)


def described_parameters(node):
    """Returns name, whether it is keyword-only, and the default of each parameter in the stubs."""
    arguments, required = node.args, inspect.Parameter.empty
    positional = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    both = [(argument, False, default) for argument, default in zip(positional, defaults)]
    both += [(argument, True, default) for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults)]
    return [
        (argument.arg, is_keyword, required if default is None else ast.literal_eval(default))
        for argument, is_keyword, default in both if argument.arg not in ("self", "cls")
    ]


def found_parameters(callable_):
    parameters = [each for each in inspect.signature(callable_).parameters.values() if each.name != "self"]
    return [(each.name, each.kind is each.KEYWORD_ONLY, each.default) for each in parameters]


class Stubs(unittest.TestCase):
    def assert_parameters(self, node, callable_, name):
        # PyO3 shows defaults that are no literals of Python, such as an empty list, as an ellipsis.
        found = found_parameters(callable_)
        described = [
            (*each, ... if actual[2:] == (...,) and default is not inspect.Parameter.empty else default)
            for (*each, default), actual in zip(described_parameters(node), found)
        ]
        self.assertEqual(len(described_parameters(node)), len(found), name)
        self.assertEqual(described, found, name)

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
                if member == "__new__":
                    self.assert_parameters(node, found, name)
                if member.startswith("__"):
                    continue
                decorators = {decorator.id for decorator in node.decorator_list}
                self.assertEqual("property" in decorators, not callable(found), f"{name}.{member}")
                is_static = isinstance(vars(owner)[member], staticmethod)
                self.assertEqual("staticmethod" in decorators, is_static, f"{name}.{member}")
                if callable(found):
                    self.assert_parameters(node, found, f"{name}.{member}")

    def test_stubs_have_the_parameters_of_every_function(self):
        for name, node in FUNCTIONS.items():
            self.assert_parameters(node, getattr(_native, name), name)

    def test_stubs_have_the_fields_of_epochs(self):
        vectors = Path(__file__).parents[2] / "vectors" / "yuma" / "cases.json"
        epoch = json.loads(vectors.read_text())["cases"][0]["input"]
        self.assertEqual(fields("EpochOutput"), set(taonet.yuma(epoch)))
        with self.assertRaises(ValueError) as raised:
            taonet.yuma({**epoch, "no_field": 1})
        self.assertEqual(fields("EpochInput"), set(re.findall(r"`(\w+)`", str(raised.exception))) - {"no_field"})

    def test_package_exports_all_public_names(self):
        internal = {"Verifier", "Request"}
        self.assertEqual(set(taonet.__all__), public(_native) - internal | {"SignedMiddleware", "__version__"})
        self.assertTrue((Path(taonet.__file__).parent / "py.typed").is_file())


if __name__ == "__main__":
    unittest.main()
