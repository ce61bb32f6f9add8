"""Packs the wheel of the package `taonet` around an extension module that Cargo has built: the files that maturin would
put there, without its second compilation. For tests on Linux: the wheel is tagged for this machine, not for manylinux.

Usage: python3 python/pack_wheel.py LIBRARY VERSION DIRECTORY
"""

import base64
import hashlib
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

SOURCE = Path(__file__).parent


def record_line(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(content)}\n"


def main() -> None:
    library, version, directory = sys.argv[1:]
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    oldest_python = project["requires-python"].removeprefix(">=").replace(".", "")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    tag = f"cp{oldest_python}-abi3-{platform}"

    package = sorted(path for path in (SOURCE / "taonet").iterdir() if path.suffix in (".py", ".pyi", ".typed"))
    files = {f"taonet/{path.name}": path.read_bytes() for path in package}
    # As maturin names it.
    files["taonet/_native.abi3.so"] = Path(library).read_bytes()
    info = f"taonet-{version}.dist-info"
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {version}\nSummary: {project['description']}\n"
        f"License-Expression: {project['license']}\nRequires-Python: {project['requires-python']}\n"
    ).encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: taonet pack_wheel\nRoot-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    record = "".join(record_line(name, content) for name, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()

    # Not compressed, since the library of a development build is large and the wheel stays on this machine.
    with zipfile.ZipFile(Path(directory) / f"taonet-{version}-{tag}.whl", "w", zipfile.ZIP_STORED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


if __name__ == "__main__":
    main()
