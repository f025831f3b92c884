"""RSA keys and signatures, made by the `cryptography` package as an adb host would make them."""

from __future__ import annotations

import base64
import os
import struct

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from leadline.emulator.adbd.keys import parse_public_key, signed_by


def make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def as_adb_writes_it(key: rsa.RSAPrivateKey, owner: str = "me@bench") -> bytes:
    numbers = key.public_key().public_numbers()
    words = 2048 // 32
    n0inv = -pow(numbers.n, -1, 2**32) % 2**32
    rr = pow(2, 2 * 2048, numbers.n)
    raw = struct.pack("<II", words, n0inv) + numbers.n.to_bytes(256, "little") + rr.to_bytes(256, "little")
    return base64.b64encode(raw + struct.pack("<I", numbers.e)) + b" " + owner.encode() + b"\0"


def sign(key: rsa.RSAPrivateKey, token: bytes) -> bytes:
    return key.sign(token, PKCS1v15(), Prehashed(hashes.SHA1()))


def test_a_signature_is_accepted_from_its_own_key_over_its_own_token_only() -> None:
    key, token = make_key(), os.urandom(20)
    public = parse_public_key(as_adb_writes_it(key))
    assert public.owner == "me@bench"
    assert signed_by(public, token, sign(key, token))
    assert not signed_by(public, os.urandom(20), sign(key, token))
    assert not signed_by(public, token, sign(make_key(), token))


@pytest.mark.parametrize("signature", [b"", bytes(255), bytes(256), b"\xff" * 256, bytes(257)])
def test_what_is_no_signature_is_not_accepted(signature: bytes) -> None:
    assert not signed_by(parse_public_key(as_adb_writes_it(make_key())), os.urandom(20), signature)


@pytest.mark.parametrize("text", [b"", b"!!!! me", b"AAAA me", base64.b64encode(b"\x40\0\0\0" + bytes(100)), b"\0"])
def test_what_is_no_key_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="adb public key"):
        parse_public_key(text)
