"""Records and checks the results of operations, for the other scripts."""
import importlib.metadata
import json
import sys
import traceback

tools = []


class Tool:
    """An installed package. As a decorator, it runs an operation and records its result or error."""

    def __init__(self, package, name=None):
        self.did = {}
        tools.append({"tool": name or package, "version": importlib.metadata.version(package), "did": self.did})

    def __call__(self, name):
        def run(work):
            try:
                self.did[name] = {"ok": True, "value": work()}
            except Exception as error:  # noqa: BLE001
                self.fail(name, error)
            return work

        return run

    async def run(self, name, work):
        """Runs an operation that is a coroutine, and records its result or error."""
        try:
            self.did[name] = {"ok": True, "value": await work}
        except Exception as error:  # noqa: BLE001
            self.fail(name, error)

    def fail(self, name, error):
        traceback.print_exc(file=sys.stderr)
        self.did[name] = {"ok": False, "value": f"{type(error).__name__}: {error}"}


def expect_equal(actual, expected):
    """Fails unless two values are equal."""
    if actual != expected:
        raise AssertionError(f"{actual!r} instead of {expected!r}")


def expect(condition, value):
    """Fails with a value if a condition on it is false."""
    if not condition:
        raise AssertionError(f"unexpected {value!r}")


def print_results():
    """Prints the results of all tools."""
    print(json.dumps(tools, default=str), flush=True)
