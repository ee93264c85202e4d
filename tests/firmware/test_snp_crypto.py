"""The SVSM's SHA-512 and AES-256-GCM, compiled for the host, against Python's and cryptography's."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SNP = Path(__file__).resolve().parents[2] / "firmware" / "snp"
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include "aes_gcm.h"
#include "sha512.h"
static unsigned char data[4096], copy[4096];
static void hex(const unsigned char *p, unsigned n) { while (n--) printf("%02x", *p++); printf("\n"); }
int main(void)
{
    unsigned char key[32], iv[12], tag[16], digest[64];
    for (unsigned i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7 + i / 256);
    for (unsigned i = 0; i < 32; i++) key[i] = (unsigned char)(i * 3);
    for (unsigned i = 0; i < 12; i++) iv[i] = (unsigned char)(i + 1);
    for (unsigned n = 0; n < 300; n += 23) {
        struct sha512 s;
        sha512_start(&s); sha512_add(&s, data, n / 2); sha512_add(&s, data + n / 2, n - n / 2); sha512_end(&s, digest);
        hex(digest, 64);
        memcpy(copy, data, n);
        aes_gcm_seal(key, iv, data + 500, 48, copy, n, tag);
        hex(copy, n); hex(tag, 16);
        int right = aes_gcm_open(key, iv, data + 500, 48, copy, n, tag) && !memcmp(copy, data, n);
        tag[3] ^= 1;
        printf("%d %d\n", right, aes_gcm_open(key, iv, data + 500, 48, copy, n, tag));
    }
    return 0;
}
"""


def test_the_svsms_cryptography(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc not found: apt-get install gcc")
    (tmp_path / "host.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-O1", "-w", f"-I{SNP}", f"-I{SNP.parent}/sdk", str(tmp_path / "host.c"),
                    str(SNP / "aes_gcm.c"), str(SNP / "sha512.c"), "-o", str(tmp_path / "host")], check=True)
    printed = subprocess.run([str(tmp_path / "host")], capture_output=True, text=True, check=True).stdout.split("\n")
    data = bytes((i * 7 + i // 256) & 0xFF for i in range(4096))
    cipher, vector = AESGCM(bytes(i * 3 for i in range(32))), bytes(range(1, 13))
    expected = []
    for n in range(0, 300, 23):
        sealed = cipher.encrypt(vector, data[:n], data[500:548])
        expected += [hashlib.sha512(data[:n]).hexdigest(), sealed[:-16].hex(), sealed[-16:].hex(), "1 0"]
    assert printed[:-1] == expected
