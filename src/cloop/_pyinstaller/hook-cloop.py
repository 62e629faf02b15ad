"""PyInstaller's hook for cloop: it doesn't see what compiled modules import and cimport."""

from PyInstaller.utils.hooks import collect_submodules  # type: ignore[import-untyped]

hiddenimports = collect_submodules("cloop", filter=lambda name: not name.startswith("cloop._pyinstaller"))
