"""`python -m xpnet` tells what this machine offers."""

import platform
from importlib import metadata

import xpnet
from xpnet.backend import known_backends, open_backend, why_unavailable

_PACKAGES = (
    "numpy",
    "array-api-compat",
    "array-api-strict",
    "numba",
    "torch",
    "matplotlib",
    "safetensors",
    "tqdm",
    "mpi4py",
)


def main() -> None:
    """Prints versions, and each backend with its devices, memory and threads, or why it cannot be used."""
    print(f"xpnet {xpnet.__version__}, Python {platform.python_version()}, {platform.platform()}")
    versions = [f"{name} {version}" for name in _PACKAGES if (version := _version(name))]
    cupy = [
        f"{package.metadata['Name']} {package.version}"
        for package in metadata.distributions()
        if str(package.metadata["Name"]).startswith("cupy")
    ]
    print("packages: " + ", ".join(versions + cupy))
    print("backends:")
    for name in known_backends():
        reason = why_unavailable(name)
        if reason is not None:
            print(f"  {name:<17} not usable: {reason}")
            continue
        backend = open_backend(name)
        lines = backend.describe()
        lines += [f"memory {key}: {size / 2**20:.0f} MiB" for key, size in backend.memory().items()]
        print(f"  {name:<17} " + f"\n{'':<20}".join(lines))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
