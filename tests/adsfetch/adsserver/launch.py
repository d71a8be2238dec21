"""Start the local Google Ads server, with a CA and a service account of its own."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.waiting import PATIENCE

CUSTOMER = "1234567890"


class AdsServer:
    """The server as a test sees it: set its behaviour, read its log."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder = folder
        self.config = folder / "google-ads.yaml"
        self._web = f"http://127.0.0.1:{ports['web']}"
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        account = {
            "type": "service_account",
            "client_email": "reader@example.iam.gserviceaccount.com",
            "private_key": pem(key).decode(),
            "token_uri": f"{self._web}/token",
        }
        (folder / "account.json").write_text(json.dumps(account))
        self.config.write_text(
            f"developer_token: a-developer-token\n"
            f"json_key_file_path: {folder / 'account.json'}\n"
            f"endpoint: localhost:{ports['api']}\n"
        )

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which the client trusts this server."""
        trust = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(self.folder / "ca.pem")}
        return {**os.environ, **trust, "NO_PROXY": "*", "no_proxy": "*"}

    def behave(self, *rules: dict[str, Any], **settings: Any) -> None:
        """Clear the log, and set these rules and settings."""
        self._post("/reset", {**settings, "rules": rules})

    def change(self, **settings: Any) -> None:
        """Change these settings, and keep the rules and the log."""
        self._post("/change", settings)

    def log(self) -> dict[str, Any]:
        """Return the log of the calls since the behaviour was set."""
        with urllib.request.urlopen(f"{self._web}/log", timeout=PATIENCE) as response:
            record: dict[str, Any] = json.load(response)
        return record

    def _post(self, path: str, record: Any) -> None:
        body = json.dumps(record).encode()
        request = urllib.request.Request(self._web + path, body, method="POST")
        urllib.request.urlopen(request, timeout=PATIENCE).close()


@contextmanager
def ads_server(folder: Path) -> Iterator[AdsServer]:
    """Run the server as a process of its own; it ends with its standard input."""
    make_certificates(folder)
    program = [sys.executable, str(Path(__file__).with_name("server.py")), str(folder)]
    quiet = {**os.environ, "GRPC_VERBOSITY": "NONE"}
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield AdsServer(folder, json.loads(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(PATIENCE)


def make_certificates(folder: Path, host: str = "localhost") -> None:
    """Write ca.pem, cert.pem and key.pem, valid for a day and one host."""
    authority, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    root = certificate("Test CA", authority, "Test CA", authority, authority=True)
    leaf = certificate(host, key, "Test CA", authority, authority=False)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folder / "cert.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(pem(key))


def certificate(name: str, key: Any, issuer: str, signer: Any, *, authority: bool) -> Any:
    """Return a certificate for a key."""
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName(name.replace(" ", "-")), x509.IPAddress(ip_address("127.0.0.1"))]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(x509_name(name))
        .issuer_name(x509_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .sign(signer, hashes.SHA256())
    )


def x509_name(name: str) -> Any:
    """Return a name for a certificate."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(key: Any) -> bytes:
    """Return a private key as text."""
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
