"""Writes a certificate authority and a certificate for 127.0.0.1 by it: ca.pem, server.pem, server.key in the given directory."""

import datetime
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

place = pathlib.Path(sys.argv[1])
begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
end = begin + datetime.timedelta(days=365)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write(file: str, data: bytes) -> None:
    path = place / file
    path.touch(mode=0o600)
    path.write_bytes(data)


def begun(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("mx-agent development"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


authority_key = ec.generate_private_key(ec.SECP256R1())
authority = (
    begun("mx-agent development", authority_key)
    .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    .sign(authority_key, hashes.SHA256())
)
server_key = ec.generate_private_key(ec.SECP256R1())
server = (
    begun("127.0.0.1", server_key)
    .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    .sign(authority_key, hashes.SHA256())
)

write("ca.pem", authority.public_bytes(serialization.Encoding.PEM))
write("server.pem", server.public_bytes(serialization.Encoding.PEM))
write(
    "server.key",
    server_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ),
)
