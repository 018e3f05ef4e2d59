"""Keys that labels are signed with: Ed25519, or an elliptic curve of NIST, as PEM files.

All cryptography is that of the package of this name.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.errors import ConfigError
from tiltlm.files import explain_storage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey


def make_key(path: Path) -> str:
    """Write a new Ed25519 key, readable by its owner alone, and its public half beside it.

    Args:
        path: of the private key; the public one gets ``.pub`` after that name.

    Returns:
        the fingerprint of the public key.

    Raises:
        ConfigError: there is a file already.
        StorageError: it may not be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    public = path.with_name(path.name + ".pub")
    for file in (path, public):
        if file.exists():
            raise ConfigError(
                "there is a file already, and no key is written over",
                where=str(file),
                fix="name another file",
            )
    key = Ed25519PrivateKey.generate()
    with explain_storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file_:
            file_.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(_pem(key.public_key()))
    return fingerprint_of(key.public_key())


def read_private_key(path: Path) -> PrivateKey:
    """A private key from a PEM file without a password.

    Raises:
        ConfigError: there is none, or of a kind that signs no labels.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _no_key(path, "private", error) from None
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise _no_key(path, "private", None)
    return key


def read_public_key(path: Path) -> PublicKey:
    """A public key from a PEM file.

    Raises:
        ConfigError: there is none, or of a kind that signs no labels.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _no_key(path, "public", error) from None
    if not isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey):
        raise _no_key(path, "public", None)
    return key


def _no_key(path: Path, half: str, error: Exception | None) -> ConfigError:
    reason = f": {str(error)[:100]}" if error else ", but one of another kind"
    return ConfigError(
        f"it is no {half} key of Ed25519 or of an elliptic curve{reason}",
        where=str(path),
        fix="`tiltlm label key FILE` makes a pair, FILE and FILE.pub",
    )


def fingerprint_of(key: PublicKey) -> str:
    """SHA-256 over a public key in PEM, as signatures name the key that made them."""
    return hashlib.sha256(_pem(key)).hexdigest()


def algorithm_of(key: PublicKey) -> str:
    """The name of a key's algorithm."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    return f"ECDSA {key.curve.name}" if isinstance(key, EllipticCurvePublicKey) else "Ed25519"


def sign_bytes(key: PrivateKey, content: bytes) -> bytes:
    """The signature of a key over bytes."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    if isinstance(key, EllipticCurvePrivateKey):
        return key.sign(content, _scheme(key.public_key()))
    return key.sign(content)


def is_signed(key: PublicKey, signature: bytes, content: bytes) -> bool:
    """Whether a signature over bytes is of this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    try:
        if isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, content, _scheme(key))
        else:
            key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _scheme(key: EllipticCurvePublicKey) -> ECDSA:
    """ECDSA with the hash that the OpenSSF format takes for a curve."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    by_size: dict[int, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]]
    by_size = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}
    return ECDSA(by_size.get(key.curve.key_size, hashes.SHA256)())


def _pem(key: PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
