"""The pools of Python's own library, doing what bench/load has muster's do: pools.py MILLISECONDS

Eight workers echo {"x": 1234}; 8 and 100 threads ask, each waiting for its answer, for so long. Prints a name and the
requests per second a line.
"""
import multiprocessing
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

WORKERS = 8
CALLERS = (8, 100)


def echo(value):
    return value


def rate(execute, callers, seconds):
    """Requests per second of so many threads in a closed loop."""
    counts = [0] * callers
    end = time.monotonic() + seconds

    def call(number):
        while not counts[number] or time.monotonic() < end:
            if execute({"x": 1234}) != {"x": 1234}:
                raise ValueError("a worker answered something else than it was asked")
            counts[number] += 1

    begun = time.monotonic()
    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begun)


def main():
    seconds = int(sys.argv[1]) / 1000
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as executor:
        executor.submit(echo, None).result()
        for callers in CALLERS:
            print("executor_%d %.1f" % (callers, rate(lambda v: executor.submit(echo, v).result(), callers, seconds)))
    with context.Pool(WORKERS) as pool:
        pool.apply(echo, (None,))
        for callers in CALLERS:
            print("multiprocessing_%d %.1f" % (callers, rate(lambda v: pool.apply(echo, (v,)), callers, seconds)))


if __name__ == "__main__":
    main()
