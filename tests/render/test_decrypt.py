"""Plain manifests that SOPS has encrypted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from guard.base.errors import RenderError
from guard.render import keys
from guard.render.decrypt import Decryption
from guard.render.encrypted import Recipients, format_of, recipients_of
from guard.render.parse import Parser
from guard.render.process import Limits
from guard.render.render import Renderer
from guard.render.texts import Texts
from guard.state.ids import Manifest, Origin
from tests.render.locksmith import Key, Locksmith, edited
from tests.render.trees import MemoryTree

ONLY_DATA = ("--encrypted-regex", "^(data|stringData)$")
SECRET = """# the login
apiVersion: v1
kind: Secret
metadata: {name: login, labels: {app: web}}
stringData:
  password: correct-horse
  certificate: |
    line one
    line two
  count: "5"
"""
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: debug}\n"

Opener = Callable[[Mapping[str, bytes]], Decryption]


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    made = Parser()
    yield made
    await made.close()


@pytest.fixture
def opener(parser: Parser, tmp_path: Path) -> Opener:
    def make(values: Mapping[str, bytes]) -> Decryption:
        return Decryption(keys.read(values, place="the Secret apps/sops"), directory=tmp_path / "scratch", turns=parser.openings)

    return make


@pytest.fixture
def renderer(parser: Parser) -> Renderer:
    return Renderer(parser)


async def rendered(renderer: Renderer, files: Mapping[str, str | bytes], decryption: Decryption | None) -> list[Manifest]:
    groups = await renderer.render(MemoryTree(files), "", decryption=decryption)
    return [manifest for path in sorted(groups) for manifest in groups[path]]


async def refusal(renderer: Renderer, files: Mapping[str, str | bytes], decryption: Decryption | None) -> str:
    with pytest.raises(RenderError) as caught:
        await rendered(renderer, files, decryption)
    told = str(caught.value)
    assert "correct-horse" not in told
    assert "AGE-SECRET-KEY" not in told
    return told


async def test_a_secret_for_age_is_what_it_was_before(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    key = locksmith.age()
    text = locksmith.encrypt("login.yaml", SECRET, key, options=ONLY_DATA)
    (found,) = await rendered(renderer, {"login.yaml": text}, opener(key.values))

    assert found.body == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login", "labels": {"app": "web"}},
        "stringData": {"password": "correct-horse", "certificate": "line one\nline two\n", "count": "5"},
    }
    assert found.confidential
    assert found.origin == Origin(file="login.yaml", line=2)


@pytest.mark.parametrize(("kind", "armored"), [("rsa2048", True), ("default", True), ("default", False)])
async def test_a_secret_for_pgp_needs_neither_gpg_nor_an_agent(
    renderer: Renderer, opener: Opener, locksmith: Locksmith, kind: str, *, armored: bool
) -> None:
    key = locksmith.pgp(kind=kind, armored=armored)
    text = locksmith.encrypt("login.yaml", SECRET, key, options=ONLY_DATA)
    (found,) = await rendered(renderer, {"login.yaml": text}, opener(key.values))
    assert found.body["stringData"]["password"] == "correct-horse"


async def test_one_of_several_keys_is_enough(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    first, second, pgp = locksmith.age(), locksmith.age(), locksmith.pgp()
    several = {"a.agekey": first.private, "b.agekey": second.private, **pgp.values}
    files = {
        name: locksmith.encrypt(name, SECRET, *recipients)
        for name, recipients in {
            "a.yaml": (first, locksmith.age()),
            "b.yaml": (locksmith.age(), second),
            "c.yaml": (pgp, locksmith.age()),
        }.items()
    }
    assert len(await rendered(renderer, files, opener(several))) == len(files)


async def test_each_document_is_one_and_only_what_was_encrypted_is_confidential(
    renderer: Renderer, opener: Opener, locksmith: Locksmith
) -> None:
    key = locksmith.age()
    text = locksmith.encrypt("a.yaml", f"{SECRET}---\n{MAP}---\n", key, options=("--encrypted-regex", "^stringData$"))
    found = await rendered(renderer, {"a.yaml": text}, opener(key.values))

    assert [(each.body["kind"], each.confidential) for each in found] == [("Secret", True), ("ConfigMap", False)]
    lines = text.splitlines()
    assert [lines[each.origin.line - 1] for each in found] == ["apiVersion: v1", "apiVersion: v1"]
    assert found[1].body["data"] == {"level": "debug"}


async def test_items_of_a_list_keep_their_lines(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    key = locksmith.age()
    items = ",".join(
        f'{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"{name}"}},"data":{{"a":"Yg=="}}}}' for name in ("one", "two")
    )
    listed = f'{{"apiVersion":"v1","kind":"List","items":[{items}]}}'
    text = locksmith.encrypt("list.json", listed, key, options=ONLY_DATA)
    found = await rendered(renderer, {"list.json": text}, opener(key.values))

    assert [each.body["metadata"]["name"] for each in found] == ["one", "two"]
    assert all(each.confidential for each in found)
    assert found[0].origin.line < found[1].origin.line
    assert found[0].body["data"] == {"a": "Yg=="}


async def test_a_file_encrypted_from_top_to_bottom_is_read_too(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    key = locksmith.age()
    (found,) = await rendered(renderer, {"a.yml": locksmith.encrypt("a.yml", MAP, key)}, opener(key.values))
    assert (found.body["kind"], found.body["data"], found.confidential) == ("ConfigMap", {"level": "debug"}, True)


async def test_plain_files_stay_plain_beside_encrypted_ones(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    key = locksmith.age()
    files = {"a.yaml": MAP, "b.yaml": locksmith.encrypt("b.yaml", SECRET, key, options=ONLY_DATA)}
    assert [each.confidential for each in await rendered(renderer, files, opener(key.values))] == [False, True]


async def test_without_a_key_the_file_and_the_field_to_set_are_named(renderer: Renderer, locksmith: Locksmith) -> None:
    files = {name: locksmith.encrypt(name, SECRET, locksmith.age(), options=ONLY_DATA) for name in ("a.yaml", "in/b.yaml")}
    assert await refusal(renderer, files, None) == (
        "a.yaml: is encrypted with SOPS (name the Secret that holds its private key in spec.decryption.secretRef of the Sync; "
        "1 other error: in/b.yaml: is encrypted with SOPS)"
    )


async def test_with_the_wrong_key_the_recipients_are_named(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    right, pgp = locksmith.age(), locksmith.pgp()
    files = {"a.yaml": locksmith.encrypt("a.yaml", SECRET, right, pgp)}
    told = await refusal(renderer, files, opener(locksmith.age().values))
    assert told.startswith(
        f"a.yaml: no key of the Secret apps/sops opens it, which is encrypted for {right.recipient}, {pgp.recipient} (put the "
    ), told
    assert await refusal(renderer, files, opener(locksmith.pgp().values)) == told


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.env", "a.ini", "a.pem"])
def test_for_whom_a_file_is_encrypted_shows_in_each_of_its_forms(locksmith: Locksmith, name: str) -> None:
    age, pgp = locksmith.age(), locksmith.pgp()
    text = {"a.json": '{"a": "b"}', "a.yaml": "a: b\n"}.get(name, "a=b\n")
    data = locksmith.encrypt(name, text, age, pgp).encode()
    assert recipients_of(data) == Recipients(keys=(age.recipient, pgp.recipient), services=())
    formats = {"a.yaml": "yaml", "a.json": "json", "a.env": "dotenv", "a.ini": "ini", "a.pem": "binary"}
    assert format_of(name, data) == formats[name]
    assert format_of(name, text.encode()) is None


@pytest.mark.parametrize("beginning", [b"", b"a: b\n", b"a: b\r\n"])
@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (b"sops:\n  mac: ENC[AES256_GCM,data:a]\n", "yaml"),
        (b"'sops': {mac: 'ENC[AES256_GCM,data:a]'}", "yaml"),
        (b'"sops":\r\n  mac: ENC[AES256_GCM,data:a]', "yaml"),
        (b"[sops] \r\nmac = ENC[AES256_GCM,data:a]", "ini"),
        (b"sops_mac=ENC[AES256_GCM,data:a]", "dotenv"),
        (b" sops:\n  mac: ENC[AES256_GCM,data:a]", None),
        (b"sops:ENC[AES256_GCM,data:a]", None),
    ],
)
def test_the_metadata_of_sops_begin_a_line(beginning: bytes, metadata: bytes, expected: str | None) -> None:
    assert format_of("a.yaml", beginning + metadata) == expected


async def test_what_only_a_service_could_open_is_told(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    arn = "arn:aws:kms:us-east-1:123456789012:key/1"
    text = locksmith.encrypt("a.yaml", SECRET, locksmith.age())
    key = f"kms:\n        - arn: {arn}\n          created_at: '2026-01-01T00:00:00Z'\n          enc: AQIC\n"
    text = edited(text, r"^    age:\n(     .*\n)*", f"    {key}")
    assert await refusal(renderer, {"a.yaml": text}, opener(locksmith.age().values)) == (
        "a.yaml: is encrypted for AWS KMS alone, which Guard does not ask (encrypt it for an age or OpenPGP key as well)"
    )


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (("name: login", "name: admin"), "the checksum that sops keeps of the file does not fit"),
        ((r"(password: ENC.AES256_GCM,data:)..", r"\1AA"), "a value of the file is not what sops made of it"),
        (("password: .*", "password: correct-horse"), "a value of the file is not what sops made of it"),
        ((" mac: .*", " mac: ENC[AES256_GCM,data:]"), "the checksum that sops keeps of the file does not fit"),
        ((" mac: .*", ' mac: ""'), "the checksum that sops keeps of the file does not fit"),
        ((" version: .*", ""), "the file does not say which version of sops made it"),
        ((" version: .*", " version: new"), "the file does not say which version of sops made it"),
        ((" lastmodified: .*", ""), "is encrypted with SOPS, and sops cannot read it"),
        (("-----BEGIN AGE", "-----BEGIN OLD"), "what sops keeps of its keys in the file is damaged"),
        ((r"\Z", "\tx: [\n"), "is encrypted with SOPS, and sops cannot read it"),
    ],
)
async def test_a_file_edited_by_hand_is_refused_without_a_value(
    renderer: Renderer, opener: Opener, locksmith: Locksmith, edit: tuple[str, str], told: str
) -> None:
    key = locksmith.age()
    text = edited(locksmith.encrypt("a.yaml", SECRET, key, options=ONLY_DATA), *edit)
    assert told in await refusal(renderer, {"a.yaml": text}, opener(key.values))


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"^sops:\n(.*\n)*", ""),
        # A way to write it that sops reads and Guard does not know.
        (r"^sops:\n", "? sops\n:\n"),
    ],
)
async def test_an_encrypted_value_is_never_taken_for_one(
    renderer: Renderer, opener: Opener, locksmith: Locksmith, pattern: str, replacement: str
) -> None:
    key = locksmith.age()
    text = edited(locksmith.encrypt("a.yaml", SECRET, key, options=ONLY_DATA), pattern, replacement)
    told = await refusal(renderer, {"a.yaml": text}, opener(key.values))
    assert re.match(r"a\.yaml:2: [\w.]+ was encrypted with SOPS, and the file says nothing of it \(encrypt the file as", told)


async def test_an_encrypted_value_in_base64_or_in_the_midst_is_none_either(renderer: Renderer) -> None:
    value = "ENC[AES256_GCM,data:Tg==,iv:4+ap=,tag:BjoM==,type:str]"
    url = MAP.replace("debug", f'"postgres://user:{value}@host"')
    assert "data.level was encrypted" in await refusal(renderer, {"a.yaml": url}, None)
    encoded = MAP.replace("debug", "RU5DW0FFUzI1Nl9HQ00sZGF0YTpUZz09LGl2OjQrYXA9XQ==")
    assert "data.level was encrypted" in await refusal(renderer, {"a.yaml": encoded}, None)


async def test_a_whole_encrypted_file_may_be_a_value(renderer: Renderer, locksmith: Locksmith) -> None:
    """For somebody in the cluster who has the key."""
    text = locksmith.encrypt("x.yaml", "a: b\n", locksmith.age())
    manifest = MAP + "  file: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
    (found,) = await rendered(renderer, {"a.yaml": manifest.replace("data: {level: debug}", "data:")}, None)
    assert found.body["data"]["file"] == text


async def test_an_example_in_a_comment_is_no_encrypted_file(renderer: Renderer) -> None:
    text = f"# sops:\n#   mac: ENC[AES256_GCM,data:x]\n{MAP}"
    assert len(await rendered(renderer, {"a.yaml": text}, None)) == 1


async def test_a_key_under_a_passphrase_is_told(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    key = locksmith.pgp(passphrase="sesame")
    text = locksmith.encrypt("a.yaml", SECRET, key, options=ONLY_DATA)
    assert "the OpenPGP key of the Secret apps/sops that opens it is under a passphrase" in await refusal(
        renderer, {"a.yaml": text}, opener(key.values)
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "the Secret apps/sops holds no keys to decrypt with (it takes age identities in entries `*.agekey`"),
        ({"identity": b"x"}, "the Secret apps/sops holds no keys to decrypt with"),
        ({"a.agekey": b"# none\n"}, "the entry a.agekey of the Secret apps/sops holds no age identity"),
        ({"a.agekey": b"# x\nage1abc\n"}, "line 2 of the entry a.agekey of the Secret apps/sops is no age identity"),
        ({"a.agekey": b"AGE-PLUGIN-YUBIKEY-1X\n"}, "line 1 of the entry a.agekey of the Secret apps/sops needs a plugin of age"),
        ({"a.agekey": b"\xff"}, "the entry a.agekey of the Secret apps/sops is no file of age identities"),
        ({"a.agekey": b"age-encryption.org/v1\n"}, "the entry a.agekey of the Secret apps/sops is under a passphrase"),
        ({"a.asc": b"hello"}, "the entry a.asc of the Secret apps/sops is no OpenPGP private key"),
        ({"a.gpg": b""}, "the entry a.gpg of the Secret apps/sops is no OpenPGP private key"),
        (
            {"a.asc": b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n"},
            "the entry a.asc of the Secret apps/sops is no OpenPGP private key",
        ),
        (
            {"a.asc": b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nl!\n-----END PGP PRIVATE KEY BLOCK-----\n"},
            "the entry a.asc of the Secret apps/sops is damaged",
        ),
    ],
)
def test_a_secret_without_a_usable_key_is_told(values: dict[str, bytes], told: str) -> None:
    with pytest.raises(RenderError) as caught:
        keys.read(values, place="the Secret apps/sops")
    assert str(caught.value).startswith(told)


@pytest.mark.timeout(60)
def test_a_secret_that_is_made_to_be_slow_to_read_is_not() -> None:
    # For each beginning to look for its end takes minutes, in Guard's loop.
    with pytest.raises(RenderError):
        keys.read({"a.asc": b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n" * 27_000}, place="the Secret apps/sops")


async def test_a_damaged_identity_is_told(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    key = locksmith.age()
    files = {"a.yaml": locksmith.encrypt("a.yaml", SECRET, key)}
    damaged = {"a.agekey": key.private.replace(b"AGE-SECRET-KEY-1", b"AGE-SECRET-KEY-1QQ")}
    assert "an age identity of the Secret apps/sops is damaged" in await refusal(renderer, files, opener(damaged))


async def test_sops_missing_is_told(
    renderer: Renderer, opener: Opener, locksmith: Locksmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = locksmith.age()
    files = {"a.yaml": locksmith.encrypt("a.yaml", SECRET, key)}
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "sops is not installed where Guard runs" in await refusal(renderer, files, opener(key.values))


async def test_time_and_memory_are_limited(renderer: Renderer, locksmith: Locksmith, tmp_path: Path) -> None:
    key = locksmith.age()
    files = {"a.yaml": locksmith.encrypt("a.yaml", SECRET, key)}
    for limits, told in (
        (Limits(seconds=0.001), "a.yaml: sops took longer than 0.001 s"),
        (Limits(memory=4 * 1024 * 1024), "a.yaml: sops "),
    ):
        found = keys.read(key.values, place="the Secret apps/sops")
        few = Decryption(found, directory=tmp_path / "scratch", turns=asyncio.Semaphore(1), limits=limits)
        assert (await refusal(renderer, files, few)).startswith(told)
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_file_that_takes_too_long_does_not_hold_up_those_of_others(
    renderer: Renderer, locksmith: Locksmith, tmp_path: Path
) -> None:
    key = locksmith.age()
    # sops looks for keys that stand twice by comparing each with each.
    slow = "".join(f"k{number}: v\n" for number in range(200_000)) + locksmith.encrypt("a.yaml", SECRET, key)
    few = Decryption(
        keys.read(key.values, place="the Secret apps/sops"),
        directory=tmp_path / "scratch",
        turns=asyncio.Semaphore(1),
        limits=Limits(seconds=2),
    )
    async with asyncio.timeout(60):
        told = await refusal(renderer, {f"{number}.yaml": f"{slow}# {number}\n" for number in range(50)}, few)
    assert told == "0.yaml: sops took longer than 2 s"


async def test_what_did_not_change_is_not_decrypted_again(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    key = locksmith.age()
    decryption = opener(key.values)
    files = {f"{name}.yaml": locksmith.encrypt(f"{name}.yaml", SECRET, key, options=ONLY_DATA) for name in "abc"}
    first = MemoryTree(files)
    before = await renderer.render(first, "", decryption=decryption)
    second = MemoryTree({**files, "b.yaml": locksmith.encrypt("b.yaml", SECRET + "# new\n", key)}, before=[first])
    after = await renderer.render(second, "", decryption=decryption)

    assert second.reads == ["b.yaml"]
    assert [path for path in after if after[path] is not before[path]] == ["b.yaml"]


async def test_with_other_keys_files_are_opened_again(renderer: Renderer, opener: Opener, locksmith: Locksmith) -> None:
    old, new = locksmith.age(), locksmith.age()
    tree = MemoryTree({"a.yaml": locksmith.encrypt("a.yaml", SECRET, old), "b.yaml": MAP})
    before = await renderer.render(tree, "", decryption=opener(old.values))
    with pytest.raises(RenderError, match=r"^a\.yaml: no key of the Secret apps/sops opens it"):
        await renderer.render(tree, "", decryption=opener(new.values))
    with pytest.raises(RenderError, match=r"^a\.yaml: is encrypted with SOPS"):
        await renderer.render(tree, "")
    # At once, though it has failed for the same files just now.
    after = await renderer.render(tree, "", decryption=opener({"a.agekey": new.private, "b.agekey": old.private}))
    assert after["b.yaml"] is before["b.yaml"]
    assert after["a.yaml"][0].body == before["a.yaml"][0].body


async def test_a_refusal_names_the_line_of_gits_own_text(parser: Parser, opener: Opener, locksmith: Locksmith) -> None:
    key = locksmith.age()
    text = locksmith.encrypt("a.yaml", SECRET, key, options=ONLY_DATA)
    texts = Texts()
    tree = MemoryTree({"a.yaml": text})
    await Renderer(parser, texts=texts).render(tree, "", decryption=opener(key.values))

    (line,) = texts.lines(Origin(file="a.yaml", line=2), (("f:stringData", "f:count"),), revision=tree.revision)
    assert text.splitlines()[line - 1].strip().startswith("count: ENC[")


async def test_faults_of_what_was_encrypted_say_where_and_no_value(
    renderer: Renderer, opener: Opener, locksmith: Locksmith
) -> None:
    key = locksmith.age()
    text = locksmith.encrypt("a.yaml", "---\n" + MAP + "---\napiVersion: v1\nkind: Secret\nmetadata: {labels: {a: 1}}\n", key)
    told = await refusal(renderer, {"a.yaml": text}, opener(key.values))
    assert re.fullmatch(r"a\.yaml:\d+: the object has no metadata\.name \(every object needs .*", told)


def test_keys_are_named_by_a_digest_that_tells_nothing(opener: Opener, locksmith: Locksmith) -> None:
    key: Key = locksmith.age()
    assert opener(key.values).digest == opener(key.values).digest
    assert opener(key.values).digest != opener(locksmith.age().values).digest
    assert keys.read(key.values, place="the Secret apps/sops").digest(b"salt") != opener(key.values).digest
