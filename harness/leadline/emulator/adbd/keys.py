"""RSA authentication: has the host signed our token with a key whose owner we trust?

Source: AOSP packages/modules/adb/protocol.txt, "AUTH(type, 0, data)". The key's layout is described in AOSP
system/core/libcrypto_utils/android_pubkey.cpp: words of the modulus, n0inv, modulus, RR (both little-endian), exponent;
then base64, a space and the owner's name. The signature is RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2.2) in which the
20 bytes of the token stand where the SHA-1 digest would.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from typing import NamedTuple

TOKEN_BYTES = 20
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3

_SHA1_DIGEST_INFO = bytes.fromhex("3021300906052b0e03021a05000414")  # RFC 8017, section 9.2, note 1


class PublicKey(NamedTuple):
    modulus: int
    exponent: int
    owner: str


def parse_public_key(text: bytes) -> PublicKey:
    """Read a key as the host offers it (and as ``adbkey.pub`` holds it).

    Raises: ValueError.
    """
    encoded, _, owner = text.rstrip(b"\0\n").partition(b" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"adb public key: not base64: {error}") from error
    if len(raw) < 4 or len(raw) != 12 + 8 * (words := struct.unpack_from("<I", raw)[0]):
        raise ValueError(f"adb public key: {len(raw)} bytes do not fit the modulus they announce")
    modulus = int.from_bytes(raw[8 : 8 + 4 * words], "little")
    (exponent,) = struct.unpack_from("<I", raw, 8 + 8 * words)
    return PublicKey(modulus, exponent, owner.decode(errors="replace"))


def signed_by(key: PublicKey, token: bytes, signature: bytes) -> bool:
    """True if `signature` is `token` signed with the private half of `key`."""
    length = (key.modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != length or number >= key.modulus:
        return False
    padding = b"\xff" * (length - 3 - len(_SHA1_DIGEST_INFO) - len(token))
    expected = b"\0\1" + padding + b"\0" + _SHA1_DIGEST_INFO + token
    return hmac.compare_digest(pow(number, key.exponent, key.modulus).to_bytes(length, "big"), expected)
