from typing import final

@final
class Step:
    def __call__(self) -> None: ...
    @property
    def __self__(self) -> object: ...
