"""Whether what was fetched is signed by somebody who may: OpenPGP by gpg, SSH by ssh-keygen, each with the keys of one Secret and
nothing of the machine's own set-up.
"""

from guard.source.verify.keys import Keys, keys_of
from guard.source.verify.verdict import Fault, Signer
from guard.source.verify.verifier import Verifier

__all__ = ["Fault", "Keys", "Signer", "Verifier", "keys_of"]
