import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from batchwright.foundation.errors import (
    BatchwrightError,
    CorruptDataError,
    InputError,
    LockedError,
    RecipeError,
    ResourceError,
    UsageError,
    nearest,
)


def raise_in_worker() -> None:
    raise CorruptDataError("a shard is cut short", where="store/00000.tokens", remedy="prepare again")


def test_an_error_says_what_where_and_what_to_do():
    error = InputError("no text column 'txt'", where="a.parquet", remedy="'text'").within("source books")
    assert str(error) == "no text column 'txt'\n  where: source books: a.parquet\n  try: 'text'"


@pytest.mark.parametrize(
    ("kind", "code"),
    [(InputError, 1), (RecipeError, 1), (LockedError, 1), (UsageError, 2), (CorruptDataError, 3), (ResourceError, 4)],
)
def test_each_kind_of_error_has_its_exit_code(kind: type[BatchwrightError], code: int):
    assert kind("x").exit_code == code


def test_an_error_crosses_from_a_worker_process_whole():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        error = pool.submit(raise_in_worker).exception()
    assert isinstance(error, CorruptDataError)
    assert (error.where, error.remedy) == ("store/00000.tokens", "prepare again")


def test_the_nearest_name_is_suggested_only_when_it_is_near():
    assert nearest("learning_rat", ["learning_rate", "seed"]) == "learning_rate"
    assert nearest("zebra", ["learning_rate", "seed"]) is None
