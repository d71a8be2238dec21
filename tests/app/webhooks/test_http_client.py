"""Requests go to the addresses that were checked, and end within their bounds."""

import asyncio
import datetime
import socket
import ssl
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.webhooks import http_client
from app.webhooks.http_client import CheckedNetwork, Client, SystemResolver
from app.webhooks.targets import Target, parse_target
from tests.app.webhooks.receivers import HANG, SLOW_BODY
from tests.waiting import PATIENCE

BODY = b"{}"
HEADERS = {"webhook-id": "1"}
REFUSED = "its host has an address that is not public"


def answers(*lists):
    """Return a resolver that gives each of these answers once, and then the last one again."""
    left = list(lists)

    async def resolve(host, port):
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def send(url, resolve=None, *, private=True, times=1, tls=None):
    """Return the responses to requests that are sent one after the other."""

    async def run():
        target = url if isinstance(url, Target) else parse_target(url, private=True)
        network = CheckedNetwork(resolve or SystemResolver(), private=private)
        client = Client(target, network, tls or ssl.create_default_context())
        try:
            return [await client.post(HEADERS, BODY) for _ in range(times)]
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """The context of a server named hooks.example, and one that trusts it."""
    folder, now = tmp_path_factory.mktemp("tls"), datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=folder / "cert.pem")


def test_the_certificate_is_that_of_the_host_and_not_of_its_address(receive, tls):
    receiver = receive(tls=tls[0])
    url = f"https://hooks.example:{receiver.port}/hook"
    (response,) = send(url, answers(["127.0.0.1"]), tls=tls[1])
    assert (response.status, response.error) == (200, None)
    assert receiver.requests[0]["headers"]["host"] == f"hooks.example:{receiver.port}"
    (other,) = send(f"https://other.example:{receiver.port}/", answers(["127.0.0.1"]), tls=tls[1])
    assert other.status is None
    assert other.error.startswith("no valid certificate: Hostname mismatch")
    (unknown,) = send(url, answers(["127.0.0.1"]))
    assert unknown.error.startswith("no valid certificate: self-signed")
    assert len(receiver.requests) == 1


def test_plain_http_at_the_other_end_is_no_tls(receive):
    receiver = receive()
    (response,) = send(f"https://127.0.0.1:{receiver.port}/")
    assert response.error == "no TLS connection"


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1"] * 5],
)
def test_no_connection_is_made_if_one_address_is_private(receive, addresses):
    receiver = receive()
    (response,) = send(f"http://a.example:{receiver.port}/", answers(addresses), private=False)
    assert (response.status, response.error) == (None, REFUSED)
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
def test_the_addresses_that_the_system_resolves_are_checked(receive, host):
    receiver = receive()
    target = Target("http", host, receiver.port, "/")
    (response,) = send(target, private=False)
    assert (response.status, response.error) == (None, REFUSED)
    assert receiver.connections == 0
    assert send(target)[0].status == 200


def test_answers_that_change_are_checked_for_each_connection(receive, monkeypatch):
    """The first answer counts as public here, the second one does not."""
    monkeypatch.setattr(
        "app.webhooks.targets.is_public", lambda address: address == ip_address("127.0.0.2")
    )
    receiver = receive()
    receiver.headers["Connection"] = "close"
    url = f"http://a.example:{receiver.port}/"
    resolve = answers(["127.0.0.2"], ["127.0.0.1"])
    first, second = send(url, resolve, private=False, times=2)
    # Nothing listens at 127.0.0.2: it was this address that was called, and no other.
    assert first.error == "no connection"
    assert second.error == REFUSED
    assert receiver.connections == 0


def test_the_next_address_is_tried_if_one_does_not_respond(receive):
    receiver = receive()
    (response,) = send(f"http://a.example:{receiver.port}/", answers(["127.0.0.2", "127.0.0.1"]))
    assert response.status == 200


def test_one_connection_serves_many_requests(receive):
    receiver = receive()
    assert [r.status for r in send(receiver.url, times=5)] == [200] * 5
    assert receiver.connections == 1


def test_no_proxy_is_read_from_the_environment(receive, monkeypatch):
    proxy, receiver = receive(), receive()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert send(receiver.url)[0].status == 200
    assert proxy.connections == 0


def test_a_redirect_is_a_failure(receive):
    elsewhere, receiver = receive(), receive(lambda _: 302)
    receiver.headers["Location"] = elsewhere.url
    (response,) = send(receiver.url)
    assert (response.status, response.error) == (302, "status 302")
    assert elsewhere.connections == 0


def test_a_request_ends_in_time(receive, monkeypatch):
    monkeypatch.setattr(http_client, "REQUEST_SECONDS", 0.2)
    (response,) = send(receive(lambda _: HANG).url)
    assert (response.status, response.error) == (None, "no response within 15 s")


def test_a_resolver_that_hangs_ends_in_time_too(monkeypatch):
    monkeypatch.setattr(http_client, "REQUEST_SECONDS", 0.2)

    async def hang(host, port):
        await asyncio.sleep(3_600)

    assert send("http://a.example/", hang)[0].error == "no response within 15 s"


def test_only_the_beginning_of_a_body_is_read(receive, monkeypatch):
    monkeypatch.setattr(http_client, "BODY_SECONDS", 0.1)
    receiver = receive(lambda _: SLOW_BODY)
    responses = send(receiver.url, times=2)
    assert [(r.status, r.error) for r in responses] == [(200, None)] * 2
    assert receiver.connections == 2


@pytest.mark.parametrize(
    "sent", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000]
)
def test_what_is_not_http_is_a_failure(sent):
    async def run():
        async def serve(reader, writer):
            await reader.read(1)
            writer.write(sent)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            target = Target("http", "127.0.0.1", server.sockets[0].getsockname()[1], "/")
            network = CheckedNetwork(SystemResolver(), private=True)
            client = Client(target, network, ssl.create_default_context())
            response = await client.post(HEADERS, BODY)
            await client.close()
            return response

    response = asyncio.run(run())
    assert response.status is None
    assert response.error in {
        "the response is not HTTP/1.1, or the connection was closed",
        "the connection was lost",
    }


def test_nobody_listens():
    with socket.socket() as bound:  # so that nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        target = Target("http", "127.0.0.1", bound.getsockname()[1], "/")
        assert send(target)[0].error == "no connection"


def test_a_name_without_an_address(monkeypatch):
    monkeypatch.setattr(http_client, "REQUEST_SECONDS", PATIENCE)  # a resolver may be out of reach
    target = Target("http", "no-such-host.invalid", 80, "/")
    assert send(target)[0].error == "the name of its host cannot be resolved"
