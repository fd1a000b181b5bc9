import threading

import pytest

from macrosplat.support.threads import ahead


def test_the_next_is_done_while_one_is_used_and_no_more():
    began, second = [], threading.Event()

    def square(n: int) -> int:
        began.append(n)
        if n == 1:
            second.set()
        return n * n

    results = ahead(square, range(4))
    assert next(results) == 0
    assert second.wait(5) and began == [0, 1]
    assert list(results) == [1, 4, 9] and began == [0, 1, 2, 3]
    assert list(ahead(square, ())) == []


def test_what_goes_wrong_is_raised_where_it_is_used():
    results = ahead(lambda n: 1 // n, (1, 0))
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
