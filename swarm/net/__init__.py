"""Everything that touches a socket: datagrams, streams, objects over HTTP, and the keys that guard them.

Bytes of outsiders never raise out of this package: they are counted (`statistics()`) and dropped.
"""
