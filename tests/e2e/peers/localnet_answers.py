"""Records the results of operations, for the other scripts."""
import importlib.metadata
import json
import sys
import traceback

tools = []


class Tool:
    """An installed package. As a decorator, it runs an operation and records its result or error."""

    def __init__(self, package):
        self.did = {}
        tools.append({"tool": package, "version": importlib.metadata.version(package), "did": self.did})

    def __call__(self, name):
        def run(work):
            try:
                self.did[name] = {"ok": True, "value": work()}
            except Exception as error:  # noqa: BLE001
                traceback.print_exc(file=sys.stderr)
                self.did[name] = {"ok": False, "value": f"{type(error).__name__}: {error}"}
            return work

        return run


def say():
    """Prints the results of all tools."""
    print(json.dumps(tools, default=str), flush=True)
