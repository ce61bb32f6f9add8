"""What tools did, operation by operation, for the scripts beside this one."""
import importlib.metadata
import json
import sys
import traceback

tools = []


class Tool:
    """One package, as it is installed. Decorates an operation: carries it out and keeps its value, or why it failed."""

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
    """Prints what all tools did."""
    print(json.dumps(tools, default=str), flush=True)
