"""The commands that certs/README.md shows, run as they stand there."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from guard.certs import load

README = Path(__file__).parents[2] / "certs" / "README.md"


def test_the_openssl_commands_make_what_load_accepts(tmp_path: Path) -> None:
    section = README.read_text().partition("## With openssl")[2].partition("## With cert-manager")[0]
    commands = "".join(line[4:] for line in re.findall(r"^    .*\n", section, flags=re.MULTILINE))
    done = subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "tls.crt: OK" in done.stdout
    load(tmp_path, names=("guard.guard-system.svc", "127.0.0.1"), now=datetime.now(UTC))
