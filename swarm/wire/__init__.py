"""The bytes on the network: message kinds, their bodies, and the codec. msgpack is used only here."""
