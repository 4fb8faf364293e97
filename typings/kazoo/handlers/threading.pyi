import socket

class SequentialThreadingHandler:
    def create_connection(self, address: tuple[str, int], *, timeout: float, **options: object) -> socket.socket: ...
