from typing import final

@final
class Peers: ...
