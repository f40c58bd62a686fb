"""Check a proof of `psa-erp audit prove` without psa-erp: `python verify_audit_proof.py PROOF.json PUBLIC_KEY`.

It needs Python and the package `cryptography`, nothing of ours, and is short enough to read. PUBLIC_KEY is what
`psa-erp audit key` printed when the log began, as you kept it: the one inside the proof proves nothing. Exit code 0
says that every entry of the proof is in the log that was signed, and that its document is the one that was hashed; what
has no document, because personal data of it were erased, is said to have none.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(*parts):
    """SHA-256 over the parts."""
    return hashlib.sha256(b"".join(parts)).digest()


def canonical(body):
    """Canonical JSON: names sorted, no blanks."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def root_by(leaf, index, size, proof):
    """The root that a proof of inclusion leads to (RFC 9162, 2.1.3.2)."""
    steps, node, last = [bytes.fromhex(step) for step in proof], sha256(b"\x00", canonical(leaf)), size - 1
    for step in steps:
        if last == 0:
            raise ValueError("the proof is too long")
        if index % 2 or index == last:
            node = sha256(b"\x01", step, node)
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            node = sha256(b"\x01", node, step)
        index, last = index // 2, last // 2
    if last:
        raise ValueError("the proof is too short")
    return node


def signed_root(note, public_key):
    """Size and root that the note says, if the key has signed it."""
    name, _, key = public_key.split("+", 2)
    raw = base64.b64decode(key)[1:]
    text, _, signatures = note.partition("\n\n")
    text += "\n"
    [line] = [line for line in signatures.splitlines() if line.startswith(f"\N{EM DASH} {name} ")]
    signature = base64.b64decode(line.rsplit(" ", 1)[1])
    Ed25519PublicKey.from_public_bytes(raw).verify(signature[4:], text.encode())
    origin, size, root = text.splitlines()[:3]
    if origin != name:
        raise ValueError("the checkpoint is of another log")
    return int(size), base64.b64decode(root)


def main(path, public_key):
    """Check the proof in a file."""
    proof = json.loads(Path(path).read_text(encoding="utf-8"))
    size, root = signed_root(proof["checkpoint"], public_key)
    if not proof["entries"]:
        raise ValueError("the proof is of nothing")
    for entry in proof["entries"]:
        leaf = entry["leaf"]
        if not 0 <= entry["index"] < size or leaf["seq"] != entry["index"] + 1:
            raise ValueError("the entry is not at the place that it names")
        if root_by(leaf, entry["index"], size, entry["proof"]) != root:
            raise ValueError(f"entry {leaf['seq']} is not in the log that was signed")
        gone = entry["document"] is None
        if not gone and hashlib.sha256(canonical(entry["document"])).hexdigest() != leaf["content"]:
            raise ValueError(f"the document of entry {leaf['seq']} is not the one that was hashed")
        note = " (its document is not in this proof: only its hash is proved)" if gone else ""
        said = f"{leaf['kind']} {leaf['subject']} by {leaf['actor']} at {leaf['at']}"
        sys.stdout.write(f"entry {leaf['seq']}: {said}{note}\n")
    sys.stdout.write(f"proved in a log of {size} entries signed by {public_key.split('+')[0]}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
