"""What seals opens again, in its own place only, and only as it was."""

from dataclasses import replace
from uuid import UUID

import pytest

from app.credentials.errors import CredentialsNotConfigured, CredentialUnreadable
from app.credentials.opening import Opener
from app.credentials.sealing import Sealed, Sealer
from app.settings import CredentialSettings
from tests.app.credentials.sealed import KEYS, key

OURS, THEIRS = UUID(int=1), UUID(int=2)
SECRET = "planted-secret-7c1e"
OPENER = Opener.of(KEYS)


@pytest.fixture
def sealed() -> Sealed:
    return Sealer.of(KEYS).seal(OURS, "hunter", SECRET)


def test_what_was_sealed_opens(sealed: Sealed):
    assert OPENER.open(OURS, "hunter", sealed).get_secret_value() == SECRET


def test_nothing_of_the_secret_is_in_what_is_stored_or_shown(sealed: Sealed):
    assert SECRET.encode() not in sealed.ciphertext + sealed.wrapped_key
    assert SECRET not in repr(OPENER.open(OURS, "hunter", sealed))
    assert repr(sealed) == "Sealed(key_id='first')"


def test_the_same_secret_never_looks_the_same(sealed: Sealed):
    again = Sealer.of(KEYS).seal(OURS, "hunter", SECRET)
    assert again.ciphertext != sealed.ciphertext
    assert again.wrapped_key != sealed.wrapped_key


@pytest.mark.parametrize(
    ("workspace_id", "provider"), [(THEIRS, "hunter"), (OURS, "apollo")], ids=["workspace", "provider"]
)
def test_a_row_that_is_moved_does_not_open(sealed: Sealed, workspace_id: UUID, provider: str):
    with pytest.raises(CredentialUnreadable):
        OPENER.open(workspace_id, provider, sealed)


def test_a_secret_under_a_data_key_of_another_place_does_not_open(sealed: Sealed):
    # Somebody who can wrap keys, and knows none, puts the whole of one row under the key of another.
    other = Sealer.of(KEYS).seal(THEIRS, "hunter", "another-secret")
    with pytest.raises(CredentialUnreadable):
        OPENER.open(THEIRS, "hunter", replace(other, ciphertext=sealed.ciphertext))


@pytest.mark.parametrize("part", ["wrapped_key", "ciphertext"])
def test_no_flipped_bit_goes_unnoticed(sealed: Sealed, part: str):
    original = getattr(sealed, part)
    for position in range(len(original) * 8):
        changed = bytearray(original)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(CredentialUnreadable):
            OPENER.open(OURS, "hunter", replace(sealed, **{part: bytes(changed)}))


@pytest.mark.parametrize("part", ["wrapped_key", "ciphertext"])
@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_a_part_that_was_cut_does_not_open(sealed: Sealed, part: str, length: int):
    with pytest.raises(CredentialUnreadable):
        OPENER.open(OURS, "hunter", replace(sealed, **{part: getattr(sealed, part)[:length]}))


def test_the_newest_key_seals_and_all_open(sealed: Sealed):
    both = CredentialSettings(keys={"first": key(1), "second": key(2)})
    newer = Sealer.of(both).seal(OURS, "hunter", "newer-secret")
    assert newer.key_id == "second"
    assert Opener.of(both).open(OURS, "hunter", newer).get_secret_value() == "newer-secret"
    assert Opener.of(both).open(OURS, "hunter", sealed).get_secret_value() == SECRET


def test_without_the_key_of_a_credential_it_stays_closed_and_the_message_names_the_key(sealed: Sealed):
    with pytest.raises(CredentialsNotConfigured, match="first"):
        Opener.of(CredentialSettings(keys={"second": key(2)})).open(OURS, "hunter", sealed)
    with pytest.raises(CredentialsNotConfigured):
        Sealer.of(CredentialSettings())


def test_another_key_of_the_same_id_does_not_open(sealed: Sealed):
    with pytest.raises(CredentialUnreadable):
        Opener.of(CredentialSettings(keys={"first": key(2)})).open(OURS, "hunter", sealed)
