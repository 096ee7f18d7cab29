"""Secrets that nobody else has, every spelling in which a part of one might turn up, and the search for them."""

import base64
import random
import string
import subprocess
import urllib.parse

# So many bytes of a secret in a row are too many.
PART = 8
# What a token may be made of (RFC 6750), in slices: an alphabet of its own for each, none so small that chance meets it.
ALPHABETS = (string.ascii_letters + string.digits, string.ascii_uppercase + string.digits, string.ascii_lowercase + string.digits,
             string.ascii_letters + string.digits + "-._~+/", string.ascii_letters + string.digits + "-_")


class Canaries:
    """Made at random, from a seed that the run prints."""

    def __init__(self, seed):
        self.random, self.all = random.Random(seed), {}

    def make(self, name, before="", length=40):
        """A secret by this name; `before` is what others read of it, and its least telling part."""
        alphabet = ALPHABETS[len(self.all) % len(ALPHABETS)]
        # It ends with a letter: no client trims that.
        made = "".join(self.random.choice(alphabet) for _ in range(length - 1)) + "Q"
        self.all[name] = made
        return before + made


def parts(secret, length):
    """Every piece of that length."""
    return {secret[at : at + length] for at in range(len(secret) - length + 1)}


def spellings(secret):
    """Every part of it, as it is and in the codings that a program knows; as letters of one case."""
    raw = secret.encode()
    found = set(parts(secret, PART))
    for coded in (base64.b64encode, base64.urlsafe_b64encode):
        for skipped in range(3):
            # The last group may hang on what stands behind it.
            whole = len(raw[skipped:]) // 3 * 3
            found |= parts(coded(raw[skipped : skipped + whole]).decode(), 12)
    for one in ("%{:02x}", "{:02x}", "\\x{:02x}", "\\u{:04x}", "{:d}, ", "{:d},", "{:02x} ", "{:#04x}, "):
        pieces = [one.format(byte) for byte in raw]
        found |= {"".join(pieces[at : at + PART]).rstrip(", ") for at in range(len(pieces) - PART + 1)}
    found |= parts(urllib.parse.quote(secret, safe=""), PART)
    # A coding may leave digits alone.
    return {text.lower() for text in found}


def search(canaries, folder):
    """(name, what was found, file) for each part of a secret in any file of the folder. grep looks for all of them at once."""
    owners = {text: name for name, secret in canaries.items() for text in spellings(secret)}
    patterns = folder.parent / "patterns"
    patterns.write_text("\n".join(sorted(owners)) + "\n", "utf-8")
    command = ["grep", "--text", "--ignore-case", "--only-matching", "--fixed-strings", "--recursive", "-f", str(patterns), str(folder)]
    told = subprocess.run(command, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
    if told.returncode > 1:
        raise SystemExit(f"grep: {told.stderr.decode()}")
    found = []
    for line in told.stdout.decode("latin-1").splitlines():
        path, _, text = line.partition(":")
        found.append((owners.get(text.lower(), "?"), text, path))
    return found


def self_test(canaries, folder):
    """Plants parts of each secret in each spelling, and looks whether they are found."""
    planted = folder / "planted"
    for name, secret in canaries.items():
        texts = sorted(spellings(secret))
        missed = []
        for text in texts[:: max(1, len(texts) // 10)]:
            planted.write_text(f'{{"level":"INFO","field":"x{text.swapcase()}y"}}\n', "utf-8")
            if not search({name: secret}, folder):
                missed.append(text)
        if missed:
            raise SystemExit(f"the search does not find {missed} of {name}")
    planted.write_text('{"level":"INFO"}\n', "utf-8")
    if found := search(canaries, folder):
        raise SystemExit(f"the search finds {found} where nothing is")
    planted.unlink()
