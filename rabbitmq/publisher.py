"""Nameko's publisher, which lets go of a connection that failed."""

import socket

from kombu.connection import ConnectionPool
from nameko.amqp.publish import Publisher
from nameko.constants import DEFAULT_TRANSPORT_OPTIONS

#: The network has ten seconds to take what is written, then the connection is lost. For `transport_options`.
SOCKET = {"socket_settings": {socket.TCP_USER_TIMEOUT: 10_000}}

# A connection leaves kombu's pool when something failed while it was used. kombu would close it in order, and wait
# for the broker to agree, without limit; but it is dead, or blocked, or whoever used it has no time left.
ConnectionPool.close_resource = ConnectionPool.collect_resource


class ImpatientPublisher(Publisher):
    """Whatever ends `publish`, it ends at once."""

    transport_options = {**DEFAULT_TRANSPORT_OPTIONS, **SOCKET}
