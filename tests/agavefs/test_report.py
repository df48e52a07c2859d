"""`agavefs report`: what is in the bundle, and what is not."""

from __future__ import annotations

import base64
import json
import re
import stat
import sys
import tarfile
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavefs import report
from agavefs.scrub import Scrub, is_secret
from tests.agavefs.mounting import Mount, mounted, possible
from tests.agavefs.test_recover import half_written
from tests.conftest import Tenant

mounts = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")

# what no bundle may hold, in no form: a password with signs in it that JSON, URLs and Python write otherwise
PASSWORD = 'p"a\\s/s &wörd-7731'
TOKEN, REFRESH, KEY, SECRET = "tok-2c1f98e0aa", "ref-9d0e11b7cc", "key-51aa02ffd3", "sec-77b0e14c2e"
PRIVATE = "dear-diary of Ünal, 2031.docx"


def bundle(file: Path) -> dict[str, str]:
    """The texts of a bundle by their titles."""
    with tarfile.open(file) as opened:
        names = opened.getnames()
        assert len({name.partition("/")[0] for name in names}) == 1
        return {name.partition("/")[2]: _text(opened, name) for name in names}


def _text(opened: tarfile.TarFile, name: str) -> str:
    member = opened.extractfile(name)
    assert member is not None
    return member.read().decode()


async def reported(mount: Mount, *words: str) -> dict[str, str]:
    file = mount.folder / "report.tar.gz"
    done = await mount.agavefs("report", file, *words)
    assert (done.returncode, done.stdout) == (0, f"{file}\n"), done.stderr
    return bundle(file)


@mounts
async def test_it_has_what_somebody_who_helps_asks_for(mount: Mount) -> None:
    await half_written(mount, "owed.txt")
    await mount.start()
    texts = await reported(mount)
    assert re.search(r"^agavefs \S+\npython 3.*\nkernel Linux", texts["versions.txt"])
    assert re.search(r"^(libfuse|fusermount3) ", texts["versions.txt"], re.MULTILINE)
    assert "pyfuse3 " in texts["versions.txt"]
    assert "not sent " in texts["mounts/1.txt"]
    assert "--cache-ttl=30.0" in texts["mounts/1.txt"]
    assert "is mounted on" in texts["logs/1.txt"]
    assert "agave://data.demo//alice/owed.txt" in texts["journal.txt"]
    assert str(mount.path) in texts["kernel-mounts.txt"]
    assert re.search(r"\d+ bytes of \d+ free", texts["disk.txt"])


@mounts
async def test_it_is_for_its_owner_alone_and_overwrites_nothing(mount: Mount) -> None:
    file = mount.folder / "report.tar.gz"
    assert (await mount.agavefs("report", file)).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    done = await mount.agavefs("report", file)
    assert (done.returncode, file.read_bytes() == before) == (report.EX_CANTCREAT, True)
    done = await mount.run("env", "-C", mount.folder, sys.executable, "-m", "agavefs", "report")
    assert re.fullmatch(r"agavefs-report-\d{8}T\d{6}\.tar\.gz\n", done.stdout)


@mounts
async def test_without_any_mount_it_tells_what_there_is(tenant: Tenant, tmp_path: Path) -> None:
    mount = Mount(tenant, tmp_path / "mount")
    texts = await reported(mount)
    assert "versions.txt" in texts
    assert "mounts/1.txt" not in texts


@mounts
async def test_no_secret_is_in_it_wherever_it_was_written(tenant: Tenant, tmp_path: Path) -> None:
    environ = {"GITHUB_TOKEN": TOKEN, "HTTPS_PROXY": f"http://me:{quote(PASSWORD, safe='')}@127.0.0.1:1/"}
    async with mounted(tenant, tmp_path / "mount", NO_PROXY="*", **environ) as mount:
        plant(mount)
        texts = await reported(mount)
    assert len(texts) > 6
    secrets = [TOKEN, REFRESH, KEY, SECRET, tenant.users["alice"], *tenant.client, *forms(PASSWORD)]
    pairs = (f"alice:{PASSWORD}", f"{KEY}:{SECRET}")
    secrets += [base64.b64encode(pair.encode()).decode().rstrip("=") for pair in pairs]
    for title, text in texts.items():
        assert [secret for secret in secrets if secret in text] == [], title
    log = "".join(text for title, text in texts.items() if title.startswith("logs/"))
    assert "what came before stays" in log
    assert "what comes behind stays" in log


def plant(mount: Mount) -> None:
    """Secrets where they might get to: the files of logins, and a log that has seen too much."""
    (mount.folder / "agave").mkdir(exist_ok=True)
    login = {"access_token": TOKEN, "refresh_token": REFRESH, "apikey": KEY, "apisecret": SECRET, "password": PASSWORD}
    record = {"baseurl": "https://api.example.org", "username": "alice", **login}
    (mount.folder / "agave/current").write_text(json.dumps(record))
    (log,) = mount.folder.glob("state/agavesh/*/mounts/log/*.log")
    basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    lines = [
        "what came before stays",
        f"Authorization: Bearer {TOKEN}",
        f"{{'Authorization': 'Basic {basic}'}}",
        f"sent Basic {base64.b64encode(f'alice:{PASSWORD}'.encode()).decode()} to it",
        f"GET https://alice:{quote(PASSWORD, safe='')}@api.example.org/files?access_token={TOKEN}&x=1",
        f"refused: {json.dumps(login)}",
        f"refused: {login!r}",
        f"a bare {PASSWORD} and a bare {REFRESH}",
        "what comes behind stays",
    ]
    log.write_text(log.read_text() + "".join(f"{line}\n" for line in lines))


def forms(secret: str) -> list[str]:
    return [secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]]


@mounts
async def test_without_names_no_file_is_named_and_the_rest_can_be_read(mount: Mount) -> None:
    await half_written(mount, PRIVATE)
    await mount.start()
    await mount.run("cat", mount.home / PRIVATE)
    await mount.run("cat", mount.home / f"missing-{PRIVATE}")
    named = await reported(mount)
    assert any("dear-diary" in text for text in named.values())
    (mount.folder / "report.tar.gz").unlink()
    texts = await reported(mount, "--no-names")
    for word in ("dear-diary", "Ünal", "2031.docx", mount.folder.parent.name):
        assert [title for title, text in texts.items() if word in text] == [], word
    assert "was written and not closed when its mount died" in texts["logs/1.txt"]
    assert "not sent" in texts["mounts/1.txt"]
    assert re.search(r"^[0-9a-f]{8}  open, or written and never closed", texts["journal.txt"])


# the scrubbing itself


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef123456",
        "authorization=Basic YWxpY2U6c2VjcmV0",
        "{'Authorization': 'Bearer abcdef123456'}",
        '"Proxy-Authorization": "Digest abcdef123456"',
        "Cookie: session=abcdef123456",
        "https://alice:abcdef123456@host/path",
        "password=abcdef123456",
        "AGAVE_PASSWORD='abcdef123456'",
        '"refresh_token" : "abcdef123456"',
        r"{\"access_token\": \"abcdef123456\"}",
        "api_secret: abcdef123456,",
        "?x-nonce=abcdef123456&a=b",
        "https://host/postits/v2/abcdef123456",
        "-----BEGIN RSA PRIVATE KEY-----\nabcdef123456\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nabcdef123456\ncut",
        "eyJhbGciOi.abcdef123456.sig",
    ],
)
def test_what_looks_like_a_secret_is_taken_out_though_nobody_knows_it(text: str) -> None:
    scrubbed = Scrub([])(f"before\n{text}\nbehind\n")
    assert "abcdef123456" not in scrubbed
    assert "YWxpY2U6c2VjcmV0" not in scrubbed
    assert scrubbed.startswith("before\n")


@pytest.mark.parametrize(
    "text",
    [
        "2031-01-02 03:04:05,678 WARNING agavefs.writeback: agave://data.demo//alice/f is not there yet: no room",
        "the token has expired and the refresh was refused",
        "http://127.0.0.1:8080/files/v2/media/system/data.demo//alice",
        "the key of the place: 12",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Scrub(["another-secret"])(text) == text


_TEXT = st.characters(exclude_characters="[]")  # which stand around what is put in place of a secret


@given(st.text(_TEXT, min_size=5, max_size=40), st.text(_TEXT, max_size=40), st.text(_TEXT, max_size=40))
def test_a_known_secret_is_nowhere_in_what_stays(secret: str, before: str, behind: str) -> None:
    assert secret in "taken out" or secret not in Scrub([secret])(before + secret + behind)


def test_a_secret_that_is_no_utf8_is_taken_out_as_a_log_shows_it() -> None:
    scrub = Scrub([b"p\xffsword\xfe".decode(errors="surrogateescape")])
    log = b"said p\xffsword\xfe, or p%FFsword%FE".decode(errors="replace")
    assert scrub(log) == "said [taken out], or [taken out]"


@pytest.mark.parametrize("name", ["AGAVE_PASSWORD", "AGAVE_TOKEN", "AGAVE_API_SECRET", "AGAVE_API_KEY", "key", "nonce"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["AGAVE_BASE_URL", "HOME", "AGAVE_CACHE_DIR", "PYTHONPATH", "username"])
def test_names_of_other_things_are_not_taken_for_those_of_secrets(name: str) -> None:
    assert not is_secret(name)


def test_a_word_has_one_hash_in_a_bundle_and_another_in_the_next() -> None:
    one, other = Scrub([], names=True), Scrub([], names=True)
    assert one("salary.xls") == one("salary.xls") != other("salary.xls")
    assert one("salary.xls") != one("salary.doc")
