"""The proxies of deploy/, loaded in the real servers: the console and Dagster's own UI behind one sign-in."""

import contextlib
import datetime as dt
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import websockets.sync.client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine
from websockets.exceptions import InvalidStatus, InvalidURI

from psa_erp_assets.console.gate import AccessSetUp
from psa_erp_assets.domain.access import Grant, Role
from psa_erp_assets.settings import REPOSITORY
from psa_erp_assets_tests.support.access import ENTITIES, PASSWORD, add_account, csrf_of
from psa_erp_assets_tests.support.console import make_app, served

HOST = "erp.example.com"
DEPLOY = REPOSITORY / "deploy"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Backends:
    """What the proxies stand before: ports of a console where people sign in, and of Dagster's own UI."""

    console: int
    dagster: int


@pytest.fixture(scope="module")
def dagster_ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real Dagster UI that has nothing to show."""
    home, port = tmp_path_factory.mktemp("dagster"), free_port()
    program = REPOSITORY / ".venv" / "bin" / "dagster-webserver"
    command = [str(program), "--empty-workspace", "-h", "127.0.0.1", "-p", str(port)]
    environ = {**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    with running(command, environ, lambda: httpx.get(f"http://127.0.0.1:{port}/server_info", timeout=2).is_success):
        yield port


@pytest.fixture
def backends(store_engine: Engine, dagster_ui: int) -> Iterator[Backends]:
    """Ada may operate, Vera may only look."""
    now = dt.datetime.now(dt.UTC)
    add_account(store_engine, "ada", [Grant(Role.OPERATOR)], now=now)
    add_account(store_engine, "vera", [Grant(Role.VIEWER)], now=now)
    access = AccessSetUp(url=f"https://{HOST}", entities=ENTITIES)
    app = make_app(store_engine, gate=None, access=access, allowed_hosts=(HOST, "127.0.0.1"))
    with served(app) as address:
        yield Backends(console=int(address.rpartition(":")[2]), dagster=dagster_ui)


@dataclass(frozen=True)
class Proxied:
    """A running proxy's two ports, as browsers reach them."""

    console: int
    dagster: int
    trusted: ssl.SSLContext

    def browser(self) -> httpx.Client:
        """A browser that believes this machine to be the host."""
        return httpx.Client(verify=self.trusted, headers={"Host": HOST, "User-Agent": "Test browser"}, trust_env=False)

    def ask(
        self,
        browser: httpx.Client,
        port: int,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A request over TLS to the host's name, which is this machine; with `data` a form that is sent."""
        return browser.request(
            "GET" if data is None else "POST",
            f"https://127.0.0.1:{port}{path}",
            data=data,
            headers={"Host": f"{HOST}:{port}", **(headers or {})},
            extensions={"sni_hostname": HOST},
        )

    @contextlib.contextmanager
    def signed_in(self, login: str) -> Iterator[httpx.Client]:
        """A browser in which somebody has signed in at the console."""
        with self.browser() as browser:
            csrf = csrf_of(self.ask(browser, self.console, "/sign-in"))
            form = {"csrf": csrf, "login": login, "password": PASSWORD}
            answer = self.ask(browser, self.console, "/sign-in", data=form)
            assert answer.status_code == 303, answer.text
            yield browser


@pytest.fixture(params=["nginx", "caddy"])
def proxied(request: pytest.FixtureRequest, backends: Backends, tmp_path: Path) -> Iterator[Proxied]:
    """The proxy with the delivered file, in which only ports and the certificate are others."""
    program = shutil.which(request.param, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    certificate, key, trusted = certify(tmp_path)
    console, dagster = free_port(), free_port()
    start = start_nginx if request.param == "nginx" else start_caddy
    command = start(program, tmp_path, backends, (console, dagster), (certificate, key))

    def answers() -> bool:
        with socket.create_connection(("127.0.0.1", dagster), timeout=1):
            return True

    environ = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    with running(command, environ, answers):
        yield Proxied(console=console, dagster=dagster, trusted=trusted)


def start_nginx(
    program: str, folder: Path, backends: Backends, ports: tuple[int, int], identity: tuple[Path, Path]
) -> list[str]:
    """The command that runs nginx on the delivered file, which nginx itself has found well formed."""
    delivered = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{ports[0]} ssl",
        "listen 3443 ssl": f"listen 127.0.0.1:{ports[1]} ssl",
        "/etc/ssl/erp.example.com.pem": str(identity[0]),
        "/etc/ssl/erp.example.com.key": str(identity[1]),
        "127.0.0.1:8080": f"127.0.0.1:{backends.console}",
        "127.0.0.1:3000": f"127.0.0.1:{backends.dagster}",
    }
    (folder / "site.conf").write_text(replaced(delivered, changes), encoding="utf-8")
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}include {folder}/site.conf;\n}}\n",
        encoding="utf-8",
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    return [*command, "-g", "daemon off; master_process off;"]


def start_caddy(
    program: str, folder: Path, backends: Backends, ports: tuple[int, int], identity: tuple[Path, Path]
) -> list[str]:
    """The command that runs Caddy on the delivered file, which Caddy itself has found well formed."""
    delivered = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    tls = f"\n\tbind 127.0.0.1\n\ttls {identity[0]} {identity[1]}"
    changes = {
        f"\n{HOST}:3443 {{": f"\nhttps://{HOST}:{ports[1]} {{{tls}",
        f"\n{HOST} {{": f"\nhttps://{HOST}:{ports[0]} {{{tls}",
        "127.0.0.1:8080": f"127.0.0.1:{backends.console}",
        "127.0.0.1:3000": f"127.0.0.1:{backends.dagster}",
    }
    path = folder / "Caddyfile"
    path.write_text(
        "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + replaced(delivered, changes), encoding="utf-8"
    )
    environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = ["--config", str(path), "--adapter", "caddyfile"]
    checked = subprocess.run([program, "validate", *command], capture_output=True, text=True, check=False, env=environ)
    assert checked.returncode == 0, checked.stderr
    return [program, "run", *command]


def replaced(text: str, changes: dict[str, str]) -> str:
    """The text with each of these in its new form; all of them must be there."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is no part of the delivered file any more"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def running(command: list[str], environ: dict[str, str], answers: Callable[[], bool]) -> Iterator[None]:
    """A program for the time of the block, once it answers."""
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        over_at = time.monotonic() + 60
        while True:
            assert process.poll() is None, f"{command[0]} ended: {process.stdout and process.stdout.read()!r}"
            assert time.monotonic() < over_at, f"{command[0]} does not answer"
            with contextlib.suppress(OSError, httpx.HTTPError):
                if answers():
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def certify(folder: Path) -> tuple[Path, Path, ssl.SSLContext]:
    """A certificate of the host, its key, and what trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "host.pem", folder / "host.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, secret, ssl.create_default_context(cafile=pem)


def test_both_are_behind_one_sign_in(proxied: Proxied) -> None:
    """Whoever finds Dagster's port could start runs, or somebody signed in could not work."""
    with proxied.browser() as nobody:
        refused = proxied.ask(nobody, proxied.dagster, "/server_info")
        assert (refused.status_code, refused.headers["location"]) == (302, f"https://{HOST}/sign-in")
        faked = proxied.ask(nobody, proxied.dagster, "/server_info", headers={"X-Auth-User": "ada"})
        assert faked.status_code == 302
        assert proxied.ask(nobody, proxied.dagster, "/auth/check").status_code in (302, 404)
        at_the_console = proxied.ask(nobody, proxied.console, "/")
        assert at_the_console.headers["strict-transport-security"] == "max-age=31536000"
    with proxied.signed_in("ada") as browser:
        [cookie] = [c for c in browser.cookies.jar if c.name == "__Host-psa_erp"]
        assert cookie.secure
        shown = proxied.ask(browser, proxied.dagster, "/server_info")
        assert shown.status_code == 200
        assert "dagster_webserver_version" in shown.json()
        page = proxied.ask(browser, proxied.dagster, "/")
        assert page.status_code == 200
        assert "/_next/static/" in page.text, "not Dagster's own page"
        assert proxied.ask(browser, proxied.console, "/account").status_code == 200


def test_looking_is_not_enough_for_dagster(proxied: Proxied) -> None:
    """Dagster's UI starts runs and knows no roles."""
    with proxied.signed_in("vera") as browser:
        assert proxied.ask(browser, proxied.console, "/account").status_code == 200
        assert proxied.ask(browser, proxied.dagster, "/server_info").status_code == 403


def test_websockets_go_through_for_whoever_is_signed_in(proxied: Proxied) -> None:
    """The logs of a run would stand still, or be open to anybody."""

    def connect(**headers: str) -> str | None:
        with (
            socket.create_connection(("127.0.0.1", proxied.dagster), timeout=10) as raw,
            websockets.sync.client.connect(
                f"wss://{HOST}:{proxied.dagster}/graphql",
                sock=raw,
                ssl=proxied.trusted,
                server_hostname=HOST,
                additional_headers=headers,
                subprotocols=[websockets.Subprotocol("graphql-ws")],
            ) as channel,
        ):
            channel.send('{"type": "connection_init", "payload": {}}')
            assert "connection_ack" in str(channel.recv(timeout=10))
            return channel.subprotocol

    with proxied.signed_in("ada") as browser:
        secret = browser.cookies["__Host-psa_erp"]
    assert connect(Cookie=f"__Host-psa_erp={secret}") == "graphql-ws"
    # The client follows the way to the sign-in page, which is no channel.
    with pytest.raises((InvalidStatus, InvalidURI), match=r"sign-in|40[13]"):
        connect()
