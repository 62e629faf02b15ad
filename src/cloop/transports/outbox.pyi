from typing import final

@final
class Outbox: ...
