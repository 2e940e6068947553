"""What fails today, and why: the column `expected_today` of the table in rows.py.

A row of this list that passes fails the suite: remove its line then. The rows in SOMETIMES fail
only sometimes, and both are accepted. Of the rows in ONLY_LIMIT, nothing but the limit may fail.
"""

from __future__ import annotations

TASKS = "children without room for an engine get a copy each of what is swapped out"
PROTECTED = "UFFDIO_MOVE refuses mappings that are not writable: the pages stay (decision 0029)"
REMOTE = "the kernel does not wait for a userfaultfd in access_remote_vm(): EIO (design limit)"

KNOWN = {
    # memory
    "huge-collapse": "MADV_COLLAPSE fails with EINVAL near the limit: huge pages are forbidden",
    # mappings
    "read-only": PROTECTED,
    "inaccessible": PROTECTED,
    "write-barrier": PROTECTED,
    # processes
    "threads-3000": "new threads fill their stacks faster than mappings are scanned: a burst",
    "pids": TASKS,
    "nproc": TASKS,
    "child-clone": "a burst of copies after the fork: up to 52 of 40 MiB for some 60 ms",
    "child-reader": "two processes keep a compressed copy of the whole set each: 45 of 40 MiB",
    "python-pool": "three processes store a shared page three times before its memory is freed",
    # kernel
    "kernel-mem": REMOTE,
    "kernel-peek": REMOTE,
}

SOMETIMES = {
    "child-clone",  # 1 to 3 of 10 runs, with the last landed build too
    "child-reader",  # a few hundred KiB too much, or not
    "python-pool",  # depends on how far the processes are apart
    "threads-3000",  # depends on when the scans come
}

ONLY_LIMIT = {"child-clone"}
