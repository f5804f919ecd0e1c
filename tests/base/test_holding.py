from __future__ import annotations

import pytest

from guard.base.errors import ConfigError
from guard.base.holding import bound


@pytest.mark.parametrize("option", ["--listen", "--receiver-listen"])
def test_an_address_in_use_is_said_with_the_option_that_names_it(option: str) -> None:
    with bound(("127.0.0.1", 0)) as taken:
        taken.listen()
        address = taken.getsockname()
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{address[1]}: .*choose another one with {option}\)"):
            bound(address, option=option)
