"""The image's bill of materials: a CycloneDX 1.6 document of what is installed, made where it is installed.

    python sbom.py PYTHON_ENVIRONMENT > sbom.cdx.json

Python packages are those with metadata in the environment, Debian's those that dpkg says are installed. The document
has no date and no random number: the same contents give the same bytes. Nothing but the standard library is used, as
the image has nothing else at that moment.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

Json = dict[str, object]
DPKG_STATUS = Path("/var/lib/dpkg/status")
OS_RELEASE = Path("/etc/os-release")


def component(name: str, version: str, purl: str, licence: str | None = None) -> Json:
    """`purl` is a package URL (github.com/package-url/purl-spec), by which scanners look up vulnerabilities."""
    told: Json = {"licenses": [{"license": {"name": licence}}]} if licence else {}
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, **told}


def of_python(found: Iterable[Distribution]) -> Iterator[Json]:
    for one in found:
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        licence = one.metadata.get("License-Expression") or one.metadata.get("License") or ""
        yield component(
            name, one.version, f"pkg:pypi/{name}@{quote(one.version)}", licence if 0 < len(licence) < 80 else None
        )


def of_debian(status: str, release: str) -> Iterator[Json]:
    """From dpkg's status file and /etc/os-release."""
    codename = next(re.finditer(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE), None)
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").split()[-1:] != ["installed"]:
            continue
        name, version = fields["Package"], fields["Version"]
        distro = f"&distro={codename[1]}" if codename else ""
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={fields['Architecture']}{distro}"
        yield component(name, version, purl)


def document(components: Iterable[Json]) -> Json:
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": "portico", "name": "portico"}},
        "components": sorted(components, key=lambda one: str(one["purl"])),
    }


def main() -> None:
    roots = (sys.argv[1], sys.base_prefix)  # the image's own Python brings pip
    folders = [str(folder) for root in roots for folder in Path(root).glob("lib/python3*/site-packages")]
    version = ".".join(map(str, sys.version_info[:3]))
    told = [component("python", version, f"pkg:generic/python@{version}"), *of_python(distributions(path=folders))]
    if DPKG_STATUS.exists():
        told += of_debian(DPKG_STATUS.read_text(encoding="utf-8"), OS_RELEASE.read_text(encoding="utf-8"))
    print(json.dumps(document(told), indent=1))


if __name__ == "__main__":
    main()
