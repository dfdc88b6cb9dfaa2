"""Writes docs/sbom.cdx.json, the bill of materials that the wheel carries (PEP 770): `python docs/gen_sbom.py`.

It names what lies inside the wheel and was made by others, with the hashes of the files, and the packages that the
wheel asks for. Which versions of these are installed is for the environment to say: `cyclonedx-py environment`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
FILE: Final = ROOT / "docs" / "sbom.cdx.json"
_STATIC: Final = ROOT / "llmrouter" / "dashboard" / "static"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def bill() -> dict[str, Any]:
    """Return the bill as a CycloneDX 1.6 document, without time or serial number: it changes only when we do."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bundled = [_uplot(), _vocabulary()]
    required = [_package(line, "required") for line in project["dependencies"]]
    extras = (line for name, lines in project["optional-dependencies"].items() if name in _USERS for line in lines)
    known = {package["bom-ref"] for package in required}
    optional = {package["bom-ref"]: package for package in (_package(line, "optional") for line in extras)}
    packages = required + [package for ref, package in sorted(optional.items()) if ref not in known]
    root = f"pkg:pypi/{project['name']}@{project['version']}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": root,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": root,
            }
        },
        "components": [*bundled, *packages],
        "dependencies": [{"ref": root, "dependsOn": [each["bom-ref"] for each in (*bundled, *packages)]}],
    }


_USERS: Final = (  # the extras that are not for working on llmrouter itself
    "azure", "bedrock", "dashboard", "google-generativeai", "litellm",
    "otel", "plot", "postgres", "prometheus", "redis", "vertex",
)  # fmt: skip


def _package(line: str, scope: str) -> dict[str, Any]:
    """Return the component that a line such as `openai>=3.51,<4` asks for."""
    name = _NAME.findall(line)[0].lower().replace("_", "-")
    asked = line.replace(" ", "")
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}",
        "name": name,
        "scope": scope,
        "purl": f"pkg:pypi/{name}",
        "properties": [{"name": "llmrouter:asked-for", "value": asked}],
    }


def _uplot() -> dict[str, Any]:
    script = _STATIC / "uplot.min.js"
    version = re.findall(rb"uPlot \(v([0-9.]+)\)", script.read_bytes()[:200])[0].decode()
    return {
        "type": "library",
        "bom-ref": f"pkg:npm/uplot@{version}",
        "name": "uplot",
        "version": version,
        "description": "Draws the charts of the dashboard; inside the wheel.",
        "licenses": [{"license": {"id": "MIT"}}],
        "purl": f"pkg:npm/uplot@{version}",
        "components": [_file(script), _file(_STATIC / "uplot.min.css")],
    }


def _vocabulary() -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": "o200k_base",
        "name": "o200k_base",
        "description": "The vocabulary that tokens are counted with, as tiktoken downloads it; inside the wheel.",
        "components": [_file(ROOT / "llmrouter" / "tokens" / "o200k_base.tiktoken.gz")],
    }


def _file(path: Path) -> dict[str, Any]:
    name = path.relative_to(ROOT).as_posix()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"type": "file", "bom-ref": name, "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}


def text() -> str:
    """Return the bill as it is committed."""
    return json.dumps(bill(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
