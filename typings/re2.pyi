from typing import Any

class error(Exception):
    args: tuple[Any, ...]

class Options:
    max_mem: int
    never_capture: bool
    log_errors: bool

class _Regexp:
    def search(self, text: bytes) -> object | None: ...

def compile(pattern: bytes, options: Options) -> _Regexp: ...
