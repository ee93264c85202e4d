"""A guest's memory as a device that reads and writes it sees it."""


class Ram:
    def __init__(self, size: int) -> None:
        self.ram = bytearray(size)

    def read(self, at: int, size: int) -> bytes:
        if at + size > len(self.ram):
            raise ValueError("outside RAM")
        return bytes(self.ram[at:at + size])

    def write(self, at: int, data: bytes) -> None:
        self.read(at, len(data))
        self.ram[at:at + len(data)] = data
