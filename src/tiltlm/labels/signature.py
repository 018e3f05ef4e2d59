"""A signature over a labelled folder, in the OpenSSF model-signing format: ``model.sig``.

It is a Sigstore bundle with a DSSE envelope around an in-toto statement that lists every file and
its SHA-256 (https://github.com/ossf/model-signing-spec). With a key of an elliptic curve the
OpenSSF's own tool verifies it; Ed25519, which that tool does not know, is signed in the same form.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltlm.errors import ConfigError
from tiltlm.files import write_text
from tiltlm.labels.keys import algorithm_of, fingerprint_of, is_signed, sign_bytes
from tiltlm.labels.labelled_files import SIGNATURE, all_files
from tiltlm.reading import LIST_BYTES, read_text
from tiltlm.records.label import FaultKind, FaultRecord, SignedRecord
from tiltlm.seals import sha256_of

if TYPE_CHECKING:
    from tiltlm.labels.keys import PrivateKey, PublicKey

_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_IGNORED = [SIGNATURE, ".git", ".gitattributes", ".github", ".gitignore"]


def sign_folder(folder: Path, key: PrivateKey) -> SignedRecord:
    """Sign every file of a folder, its label among them; an earlier signature is replaced.

    Args:
        folder: that holds a labelled model.
        key: as `read_private_key` gives it.

    Raises:
        StorageError: the signature cannot be written.
    """
    hashes = _hashes(folder)
    payload = json.dumps(_statement(folder.resolve().name, hashes)).encode()
    signature = sign_bytes(key, _framed(payload))
    public = key.public_key()
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {
            "publicKey": {"hint": fingerprint_of(public)},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    write_text(folder / SIGNATURE, json.dumps(bundle) + "\n")
    return SignedRecord(
        signature=str(folder / SIGNATURE),
        algorithm=algorithm_of(public),
        key=fingerprint_of(public),
        files=len(hashes),
    )


@dataclass(frozen=True)
class Signature:
    """A signature that lies in a folder.

    Attributes:
        hint: fingerprint of the key that it says it was made with.
        payload: the bytes that were signed.
        value: the signature itself.
    """

    hint: str
    payload: bytes
    value: bytes

    def faults(self, folder: Path, key: PublicKey) -> list[FaultRecord]:
        """What keeps the signature from vouching for a folder as it is.

        Args:
            folder: that it lies in.
            key: of whoever should have signed.
        """
        if self.hint != fingerprint_of(key):
            return [_fault("wrong key", SIGNATURE, "it was made with another key than this one")]
        if not is_signed(key, self.value, _framed(self.payload)):
            return [_fault("bad signature", SIGNATURE, "it is not this key's over what it lists")]
        try:
            statement = json.loads(self.payload)
            resources = statement["predicate"]["resources"]
            signed = {str(resource["name"]): str(resource["digest"]) for resource in resources}
        except (ValueError, KeyError, TypeError):
            return [_fault("bad signature", SIGNATURE, "what was signed is no list of files")]
        there = _hashes(folder)
        return [
            _fault("changed since signed", name, what)
            for name in sorted(signed.keys() | there.keys())
            if (what := _difference(signed.get(name), there.get(name)))
        ]


def read_signature(folder: Path) -> Signature | None:
    """The signature in a folder, None where it has none.

    Raises:
        ConfigError: it is damaged, or in another format.
    """
    path = folder / SIGNATURE
    if not path.is_file():
        return None
    try:
        bundle = json.loads(read_text(path, LIST_BYTES))
        envelope = bundle["dsseEnvelope"]
        return Signature(
            str(bundle["verificationMaterial"]["publicKey"]["hint"]),
            base64.b64decode(envelope["payload"], validate=True),
            base64.b64decode(envelope["signatures"][0]["sig"], validate=True),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise ConfigError(
            "it is no signature in the OpenSSF model-signing format with a key",
            where=str(path),
            fix="sign the folder anew: `tiltlm label sign DIR --key KEY`",
        ) from None


def _fault(kind: FaultKind, where: str, what: str) -> FaultRecord:
    return FaultRecord(kind=kind, where=where, what=what)


def _difference(signed: str | None, there: str | None) -> str:
    if signed == there:
        return ""
    if there is None:
        return "it was signed, and is not here"
    return "it was not there when this was signed" if signed is None else "its bytes are others"


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the signature."""
    names = [name for name in all_files(folder) if name != SIGNATURE]
    return {name: sha256_of(folder / name) for name in names}


def _statement(name: str, hashes: dict[str, str]) -> dict[str, Any]:
    """The in-toto statement over a folder's files."""
    together = hashlib.sha256(b"".join(map(bytes.fromhex, hashes.values()))).hexdigest()
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": together}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": _IGNORED,
            },
            "resources": [
                {"name": name, "algorithm": "sha256", "digest": digest}
                for name, digest in hashes.items()
            ],
        },
    }


def _framed(payload: bytes) -> bytes:
    """What is signed of a payload: DSSE's pre-authentication encoding."""
    return f"DSSEv1 {len(_PAYLOAD)} {_PAYLOAD} {len(payload)} ".encode() + payload
