"""The certificate that the API server finds at Guard's port: from Guard's own authority or brought by the user, checked
before it is used, and replaced without dropping a connection.
"""

from guard.certs.authority import ensure
from guard.certs.rotation import ServerTLS
from guard.certs.serving import ServingCertificate, load

__all__ = ["ServerTLS", "ServingCertificate", "ensure", "load"]
