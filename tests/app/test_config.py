import subprocess
import sys
from pathlib import Path

import pytest

from app.config import (
    InvalidSetting,
    Rate,
    from_env,
    load_or_create_secret,
    startup_warnings,
)
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
SECRET = {"SECRET_KEY": "a secret of the tests"}


def test_every_setting_has_a_default():
    settings = from_env(SECRET)
    assert settings.database_url.startswith("sqlite:///")
    assert settings.redis_url is None
    assert (settings.host, settings.port, settings.web_concurrency) == ("127.0.0.1", 8000, 2)
    assert (settings.cache_ttl, settings.max_body_bytes) == (300, 1_048_576)
    assert (settings.feed_days, settings.webhook_private_targets) == (7, False)
    assert settings.testing is False


def test_every_setting_is_read_from_its_variable():
    settings = from_env(
        {
            "DATABASE_URL": "sqlite:////tmp/any.db",
            "REDIS_URL": "redis://127.0.0.1:6380/1",
            "SECRET_KEY": "another secret of the tests",
            "HOST": "0.0.0.0",
            "PORT": "9000",
            "WEB_CONCURRENCY": "4",
            "CACHE_TTL": "60",
            "MAX_BODY_BYTES": "2048",
            "FEED_DAYS": "30",
            "WEBHOOK_PRIVATE_TARGETS": "true",
            "LOG_FORMAT": "text",
        }
    )
    assert settings.database_url == "sqlite:////tmp/any.db"
    assert settings.redis_url == "redis://127.0.0.1:6380/1"
    assert settings.secret_key == "another secret of the tests"
    assert (settings.host, settings.port, settings.web_concurrency) == ("0.0.0.0", 9000, 4)
    assert (settings.cache_ttl, settings.max_body_bytes) == (60, 2048)
    assert (settings.feed_days, settings.webhook_private_targets) == (30, True)
    assert settings.log_format == "text"


@pytest.mark.parametrize(
    "host", ["::", "::1", "fe80::1%eth0", "0.0.0.0", "localhost", "shop.example", "a_b-c.d"]
)
def test_a_name_or_an_address_is_a_host(host):
    assert from_env({**SECRET, "HOST": host}).host == host


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://host",
        "redis://host/",
        "rediss://:secret@host:6380/2",
        "redis://host/0?socket_keepalive=true",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_urls_of_redis(url):
    assert from_env({**SECRET, "REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("content", ["", "short", "\n", "\udc80" * 40])
def test_a_secret_in_the_file_that_could_be_guessed_is_rejected(tmp_path, content):
    path = tmp_path / "secret_key"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidSetting, match=rf"^bookstall: SECRET_KEY .*{path}[^\n]*$"):
        load_or_create_secret(path)


def test_a_folder_in_which_no_secret_can_be_created_is_one_line():
    with pytest.raises(InvalidSetting, match=r"^bookstall: SECRET_KEY [^\n]*$"):
        load_or_create_secret(Path("/proc/none/secret_key"))


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_setting_counts_as_unset(empty):
    assert from_env({**SECRET, "PORT": empty, "REDIS_URL": empty}) == from_env(SECRET)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_postgresql_url_gets_the_installed_driver(scheme):
    url = from_env(
        {**SECRET, "DATABASE_URL": f"{scheme}://u:p%40w@host:5432/shop?x=1"}
    ).database_url
    assert url == "postgresql+psycopg2://u:p%40w@host:5432/shop?x=1"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_the_service_runs_with_either_scheme_of_postgresql(make_app, postgres_database, scheme):
    url = f"{scheme}://{postgres_database.partition('://')[2]}"
    assert make_app(url).test_client().get("/books").status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "mysql://host/shop"),
        ("DATABASE_URL", "postgresql+asyncpg://host/shop"),
        ("DATABASE_URL", "postgresql://host:port/shop"),
        ("DATABASE_URL", "postgresql//host/shop"),
        ("DATABASE_READ_URL", "nonsense"),
        ("DATABASE_READ_URL", "sqlite:////tmp/any.db"),
        ("REDIS_URL", "nonsense"),
        ("REDIS_URL", "http://host"),
        ("REDIS_URL", "redis://host:port"),
        ("REDIS_URL", "redis://host:99999"),
        ("REDIS_URL", "redis://[::1"),
        ("REDIS_URL", "redis://host/zero"),
        ("REDIS_URL", "redis://host/0/1"),
        ("REDIS_URL", "redis://host?socket_timeout=soon"),
        ("REDIS_URL", "redis://host?nonsense=1"),
        ("REDIS_URL", "redis://host?protocol=9"),
        ("REDIS_URL", "unix:///run/redis.sock?db=one"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite:////tmp"),
        ("DATABASE_URL", "sqlite:////proc/none/shop.db"),
        ("DATABASE_URL", "sqlite:////dev/null/shop.db"),
        ("HOST", "127.0.0.1:8000"),
        ("HOST", "http://127.0.0.1"),
        ("HOST", "unix:/run/it.sock"),
        ("HOST", "two hosts"),
        ("HOST", "::1::2"),
        ("HOST", "-b"),
        ("SECRET_KEY", "long enough, but with a \udcff"),
        ("HOST", "two\nlines"),
        ("RATE_LIMIT_READ", "10 per 99999999999999999999 second"),
        ("SECRET_KEY", "too short"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "80.0"),
        ("PORT", "eighty"),
        ("PORT", "\u0668\u0660"),
        ("PORT", "000000000000000000000080"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "257"),
        ("CACHE_TTL", "0"),
        ("CACHE_TTL", "86401"),
        ("CACHE_TTL", "300s"),
        ("MAX_BODY_BYTES", "1023"),
        ("MAX_BODY_BYTES", "1MB"),
        ("FEED_DAYS", "0"),
        ("FEED_DAYS", "367"),
        ("FEED_DAYS", "7d"),
        ("WEBHOOK_PRIVATE_TARGETS", "yes"),
        ("LOG_FORMAT", "xml"),
        ("LOG_FORMAT", "JSON"),
    ],
)
def test_an_invalid_value_is_rejected_with_one_line_that_names_the_setting(name, value):
    with pytest.raises(InvalidSetting) as error:
        from_env({**SECRET, name: value})
    assert str(error.value).startswith(f"bookstall: {name} ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "others",
    [{"REDIS_URL": "redis://host"}, {"DATABASE_URL": "postgresql://host/shop"}],
    ids=["sqlite", "no-redis"],
)
def test_a_replica_needs_postgresql_and_redis(others):
    with pytest.raises(InvalidSetting, match="DATABASE_READ_URL needs"):
        from_env({**SECRET, **others, "DATABASE_READ_URL": "postgresql://replica/shop"})


def test_an_error_message_does_not_contain_the_password():
    with pytest.raises(InvalidSetting) as error:
        from_env({**SECRET, "DATABASE_URL": "postgresql://u:hidden@host:port/shop"})
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("flask openapi", "PORT", "eighty"),
        ("flask db current", "DATABASE_URL", "nonsense"),
        ("flask db upgrade", "DATABASE_URL", "sqlite:////proc/none/shop.db"),
        ("gunicorn wsgi:app", "PORT", "eighty"),
        ("gunicorn wsgi:app", "REDIS_URL", "nonsense"),
        ("gunicorn wsgi:app", "DATABASE_URL", "sqlite:////proc/none/shop.db"),
        ("gunicorn -k asgi --reuse-port asgi:app", "HOST", "http://here"),
        ("flask keys list", "REDIS_URL", "redis://host?nonsense=1"),
        ("flask prepare", "WEB_CONCURRENCY", "many"),
    ],
)
def test_an_invalid_value_stops_the_start_with_one_line(command, name, value):
    process = subprocess.run(
        [sys.executable, "-m", *command.split()],
        env={**SECRET, name: value, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert process.returncode != 0
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    assert process.stderr.startswith(f"bookstall: {name} ")


def test_the_secret_is_created_once_and_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "instance/secret_key"
    secret = load_or_create_secret(path)
    assert len(secret) >= 32
    assert load_or_create_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret_key"]


def test_rate_limits_proxies_and_required_keys_are_read():
    changed = from_env({**SECRET, "RATE_LIMIT_READ": "20 per 2 second", "RATE_LIMIT_WRITE": "off"})
    assert (changed.rate_limit_read, changed.rate_limit_write) == (Rate(20, 2), None)
    assert from_env({**SECRET, "RATE_LIMIT_READ": "120/2seconds"}).rate_limit_read == Rate(120, 2)
    default = from_env(SECRET)
    assert (default.rate_limit_read, default.rate_limit_write) == (Rate(600, 60), Rate(60, 60))
    assert (default.trusted_proxies, default.require_api_key) == (0, False)
    strict = from_env({**SECRET, "REQUIRE_API_KEY": "true", "TRUSTED_PROXIES": "2"})
    assert (strict.trusted_proxies, strict.require_api_key) == (2, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMIT_READ", "many"),
        ("RATE_LIMIT_READ", "0/minute"),
        ("RATE_LIMIT_READ", "-1/minute"),
        ("RATE_LIMIT_READ", "10 per 0 second"),
        ("RATE_LIMIT_READ", "10/fortnight"),
        ("RATE_LIMIT_READ", "1000000001/second"),
        ("RATE_LIMIT_WRITE", "10/second; 100/minute"),
        ("RATE_LIMIT_WRITE", "OFF"),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXIES", "all"),
        ("REQUIRE_API_KEY", "yes"),
    ],
)
def test_an_invalid_limit_is_rejected_with_one_line(name, value):
    with pytest.raises(InvalidSetting, match=rf"^bookstall: {name} must be [^\n]*$"):
        from_env({**SECRET, name: value})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", ("*",)),
        ("https://shop.example", ("https://shop.example",)),
        (
            "https://shop.example , http://127.0.0.1:8080",
            ("https://shop.example", "http://127.0.0.1:8080"),
        ),
        ("HTTPS://Shop.Example:443", ("https://shop.example",)),
        ("http://shop.example:80", ("http://shop.example",)),
        ("http://shop.example:443", ("http://shop.example:443",)),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
        ("http://[::1]:80", ("http://[::1]",)),
        ("https://xn--bcher-kva.example", ("https://xn--bcher-kva.example",)),
        ("", ()),
    ],
)
def test_allowed_origins_are_written_as_browsers_write_them(text, expected):
    assert from_env({**SECRET, "ALLOWED_ORIGINS": text}).allowed_origins == expected


@pytest.mark.parametrize(
    "text",
    [
        "shop.example",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example?a",
        "https://user@shop.example",
        "https://*.shop.example",
        "*, https://shop.example",
        "https://shop.example, *",
        "https://shop.example,",
        ",",
        "null",
        "ftp://shop.example",
        "https://",
        "https://:443",
        "https://shop.example:0",
        "https://shop.example:65536",
        "https://shop.example:x",
        "https://b\u00fccher.example",
        "http://[::1",
        "https://a.example https://b.example",
    ],
)
def test_wrong_allowed_origins_stop_the_start_with_one_line(text):
    with pytest.raises(InvalidSetting) as raised:
        from_env({**SECRET, "ALLOWED_ORIGINS": text})
    assert str(raised.value).startswith("bookstall: ALLOWED_ORIGINS must be origins such as ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["two words", "caf\u00e9", "tab\there"])
def test_a_metrics_token_that_a_header_cannot_carry_stops_the_start(text):
    with pytest.raises(InvalidSetting, match="METRICS_TOKEN must be visible ASCII"):
        from_env({**SECRET, "METRICS_TOKEN": text})


def test_what_is_unsafe_on_a_public_network_is_named_at_the_start():
    safe = from_env({**SECRET, "REQUIRE_API_KEY": "true"})
    assert startup_warnings(safe) == []
    unsafe = {"RATE_LIMIT_TRIAL": "true", "WEBHOOK_PRIVATE_TARGETS": "true"}
    warnings = startup_warnings(from_env({**SECRET, **unsafe}))
    names = [warning.partition(" ")[0] for warning in warnings]
    assert names == ["REQUIRE_API_KEY", "RATE_LIMIT_TRIAL", "WEBHOOK_PRIVATE_TARGETS"]
