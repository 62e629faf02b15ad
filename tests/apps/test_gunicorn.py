"""The worker classes for gunicorn, as gunicorn finds them. (test_server_pages.py runs them.)"""

import importlib
import sys

import pytest

from tests.system.processes import run_python

from .servers import needs

workers = importlib.import_module("cloop.gunicorn")


@needs("gunicorn", "aiohttp", "uvicorn_worker", "tornado")
@pytest.mark.parametrize("name", sorted(workers.WORKERS))
def test_gunicorn_loads_them_by_their_names(name, tmp_path):
    load = f"""if True:
        from gunicorn.util import load_class
        worker = load_class("cloop.gunicorn.{name}")
        from gunicorn.workers.base import Worker
        print(worker.__module__, worker.__qualname__, worker.__mro__[1].__name__, issubclass(worker, Worker))
        assert load_class("cloop.gunicorn.{name}") is worker
    """
    result = run_python("-c", load, cwd=tmp_path)
    assert result.stderr == ""
    base = workers.WORKERS[name].partition(":")[2]
    assert result.stdout.split() == ["cloop.gunicorn", name, base, "True"]


def test_other_names():
    with pytest.raises(AttributeError, match=r"^module 'cloop.gunicorn' has no attribute 'Worker'$"):
        workers.Worker  # noqa: B018


def test_asking_imports_nothing_else():
    before = set(sys.modules)
    importlib.reload(workers)
    assert set(sys.modules) == before
