"""Makes what deploy/release hands out beside the binaries: a bill of materials, and an image without an engine.

    release.py sbom FILE                           CycloneDX 1.6, from Cargo.lock and `cargo metadata`
    release.py image BINARY NAME VERSION FILE      an OCI archive; its digest beside it, and on standard output

The same input gives the same bytes: times are SOURCE_DATE_EPOCH, ids are made of contents, everything is sorted.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import time
import tomllib
import uuid

ROOT = pathlib.Path(__file__).parent.parent
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
TIME = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
ROOTS = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
ARCHITECTURES = {"x86_64": ("amd64", None), "x86_64-v3": ("amd64", "v3"), "aarch64": ("arm64", None)}


def purl(package):
    """The name of a crate that scanners know."""
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums):
    """One crate. Its checksum is that of Cargo.lock, which cargo holds what it builds to."""
    found = {"type": "library", "bom-ref": purl(package), "name": package["name"], "version": package["version"], "purl": purl(package)}
    if package.get("license"):
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((package["name"], package["version"])):
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def linked(metadata):
    """What ends up in the binary: normal and build dependencies from the root on, tests' left out. Ids with those that each needs."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, found = [metadata["resolve"]["root"]], {}
    while waiting:
        if (current := waiting.pop()) in found:
            continue
        needs = [need["pkg"] for need in nodes[current]["deps"] if any(kind["kind"] in (None, "build") for kind in need["dep_kinds"])]
        found[current] = needs
        waiting.extend(needs)
    return found


def sbom(file):
    """CycloneDX: the program, its crates with licences and checksums, and who needs whom."""
    told = subprocess.run(["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-musl"],
                          cwd=ROOT, capture_output=True, text=True, check=True)
    metadata = json.loads(told.stdout)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(one["name"], one["version"]): one["checksum"] for one in lock["package"] if "checksum" in one}
    packages = {package["id"]: package for package in metadata["packages"]}
    needs = linked(metadata)
    root = metadata["resolve"]["root"]
    name = lambda identity: purl(packages[identity])  # noqa: E731
    bom = {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"timestamp": TIME, "component": {**component(packages[root], checksums), "type": "application"}},
        "components": sorted((component(packages[one], checksums) for one in needs if one != root), key=lambda one: one["bom-ref"]),
        "dependencies": sorted(({"ref": name(one), "dependsOn": sorted({name(need) for need in its})} for one, its in needs.items()),
                               key=lambda one: one["ref"]),
    }
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(bom, sort_keys=True))}"
    pathlib.Path(file).write_text(json.dumps(bom, indent=1, sort_keys=True) + "\n")
    print(f"{len(bom['components'])} crates in {file}", file=sys.stderr)


def entry(name, size, mode, kind=tarfile.REGTYPE):
    """A member of an archive, of nobody and of the commit's time."""
    found = tarfile.TarInfo(name)
    found.size, found.mode, found.mtime, found.type = size, mode, EPOCH, kind
    return found


def archive(files):
    """A tar of names with contents and modes; nothing as contents is a folder."""
    room = io.BytesIO()
    with tarfile.open(fileobj=room, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, contents, mode in files:
            if contents is None:
                tar.addfile(entry(name, 0, mode, tarfile.DIRTYPE))
            else:
                tar.addfile(entry(name, len(contents), mode), io.BytesIO(contents))
    return room.getvalue()


def image(binary, name, version, file):
    """The image of deploy/docker/Dockerfile, as an OCI archive: the binary and the public roots, nothing else."""
    layer = archive([
        ("etc", None, 0o755), ("etc/ssl", None, 0o755), ("etc/ssl/certs", None, 0o755),
        ("etc/ssl/certs/ca-certificates.crt", ROOTS.read_bytes(), 0o644), ("instantly-proxy", pathlib.Path(binary).read_bytes(), 0o755),
    ])
    packed = gzip.compress(layer, 9, mtime=0)
    blobs = {}

    def blob(contents, media_type):
        digest = hashlib.sha256(contents).hexdigest()
        blobs[digest] = contents
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(contents)}

    def document(value, media_type):
        return blob(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), media_type)

    architecture, variant = ARCHITECTURES[name.removesuffix("-linux-musl")]
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    labels = {"org.opencontainers.image.title": "instantly-proxy", "org.opencontainers.image.licenses": "MIT",
              "org.opencontainers.image.description": "A caching reverse proxy for the Instantly API",
              "org.opencontainers.image.version": version, "org.opencontainers.image.revision": revision or "unknown"}
    platform = {"architecture": architecture, "os": "linux", **({"variant": variant} if variant else {})}
    config = document({
        **platform, "created": TIME, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "config": {"Entrypoint": ["/instantly-proxy"], "User": "65532:65532", "ExposedPorts": {"8080/tcp": {}, "8081/tcp": {}},
                   "StopSignal": "SIGTERM", "Labels": labels},
        "history": [{"created": TIME, "created_by": "deploy/release"}],
    }, "application/vnd.oci.image.config.v1+json")
    manifest = document({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
        "layers": [blob(packed, "application/vnd.oci.image.layer.v1.tar+gzip")], "annotations": labels,
    }, "application/vnd.oci.image.manifest.v1+json")
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
             "manifests": [{**manifest, "platform": platform, "annotations": {"org.opencontainers.image.ref.name": version}}]}
    members = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644), ("index.json", json.dumps(index, sort_keys=True).encode(), 0o644),
               ("blobs", None, 0o755), ("blobs/sha256", None, 0o755)]
    members += [(f"blobs/sha256/{digest}", contents, 0o644) for digest, contents in sorted(blobs.items())]
    pathlib.Path(file).write_bytes(archive(members))
    pathlib.Path(f"{file}.digest").write_text(manifest["digest"] + "\n")
    print(f"{manifest['digest']}  {file}: {len(packed) // 1024} KiB packed, {len(layer) // 1024} KiB unpacked")


if __name__ == "__main__":
    {"sbom": sbom, "image": image}[sys.argv[1]](*sys.argv[2:])
