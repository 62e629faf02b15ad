from typing import final

@final
class Step:
    def __call__(self, *args: object, **kwargs: object) -> None: ...
    @property
    def __self__(self) -> object: ...
