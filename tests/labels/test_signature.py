"""A signature vouches for every file of a folder, and for nobody else's."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.labels.labelled import chained, labelled_folder
from tiltlm.commands.label import check_label, make_label_key, sign_label
from tiltlm.errors import ConfigError
from tiltlm.labels.card import write_label
from tiltlm.labels.label import FILE, read_label
from tiltlm.labels.labelled_files import SIGNATURE


@pytest.fixture
def signed(tmp_path):
    folder = labelled_folder(tmp_path / "model", chained("tilt"))
    make_label_key(tmp_path / "key")
    sign_label(str(folder), tmp_path / "key")
    return folder


def kinds(folder, key):
    record = check_label(str(folder), key)
    return record.signature, [(fault.kind, fault.where) for fault in record.faults]


def test_what_was_signed_is_valid_and_the_private_key_is_its_owners_alone(signed, tmp_path):
    assert kinds(signed, tmp_path / "key.pub") == ("valid", [])
    assert check_label(str(signed)).signature == "not checked"
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="no key is written over"):
        make_label_key(tmp_path / "key")


def test_another_key_is_a_wrong_key(signed, tmp_path):
    make_label_key(tmp_path / "other")
    assert kinds(signed, tmp_path / "other.pub") == ("invalid", [("wrong key", SIGNATURE)])


def test_a_label_edited_with_all_its_hashes_made_anew_is_told_by_the_signature(signed, tmp_path):
    label = read_label(signed)
    write_label(signed, label.model_copy(update={"sentence": "nothing was done"}))
    state, faults = kinds(signed, tmp_path / "key.pub")
    assert state == "invalid"
    assert ("changed since signed", FILE) in faults
    assert ("changed since signed", "README.md") in faults


def test_files_that_came_or_went_are_told(signed, tmp_path):
    (signed / "notes.txt").write_text("mine")
    (signed / ".gitattributes").write_text("the Hub's")
    (signed / "config.json").unlink()
    _, faults = kinds(signed, tmp_path / "key.pub")
    assert ("changed since signed", "notes.txt") in faults
    assert ("changed since signed", "config.json") in faults
    assert not [where for _, where in faults if where == ".gitattributes"]


def test_a_list_of_files_that_was_edited_is_a_bad_signature(signed, tmp_path):
    bundle = json.loads((signed / SIGNATURE).read_text())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"config", b"confix")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    (signed / SIGNATURE).write_text(json.dumps(bundle))
    assert kinds(signed, tmp_path / "key.pub") == ("invalid", [("bad signature", SIGNATURE)])


def test_a_folder_that_nobody_signed_is_unsigned_where_a_key_is_given(tmp_path):
    folder = labelled_folder(tmp_path / "model", chained("tilt"))
    make_label_key(tmp_path / "key")
    assert kinds(folder, tmp_path / "key.pub") == ("none", [("unsigned", SIGNATURE)])
    assert check_label(str(folder)).verdict == "whole"


def test_a_folder_that_is_not_what_its_label_says_is_not_signed(tmp_path):
    folder = labelled_folder(tmp_path / "model", chained("tilt"))
    make_label_key(tmp_path / "key")
    (folder / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match="not what its label says: changed file"):
        sign_label(str(folder), tmp_path / "key")
    assert not (folder / SIGNATURE).exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"dsseEnvelope": 1}', "{" * 5000])
def test_a_signature_that_is_none_is_one_error(signed, content):
    (signed / SIGNATURE).write_text(content)
    with pytest.raises(ConfigError, match="no signature in the OpenSSF"):
        check_label(str(signed))


def test_a_file_that_is_no_key_is_one_error(signed, tmp_path):
    (tmp_path / "none").write_text("-----BEGIN PUBLIC KEY-----\nnone\n-----END PUBLIC KEY-----\n")
    with pytest.raises(ConfigError, match="no public key"):
        check_label(str(signed), tmp_path / "none")
    with pytest.raises(ConfigError, match="no private key"):
        sign_label(str(signed), tmp_path / "none")


def test_a_key_of_an_elliptic_curve_signs_in_the_form_that_the_openssf_tool_reads(tmp_path):
    folder = labelled_folder(tmp_path / "model", chained("tilt"))
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(pem)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    assert sign_label(str(folder), tmp_path / "key").algorithm == "ECDSA secp256r1"
    assert kinds(folder, tmp_path / "key.pub") == ("valid", [])
    statement = json.loads(
        base64.b64decode(json.loads((folder / SIGNATURE).read_text())["dsseEnvelope"]["payload"])
    )
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    names = [resource["name"] for resource in statement["predicate"]["resources"]]
    assert names == sorted(["README.md", "config.json", "one.safetensors", FILE, "two.safetensors"])
