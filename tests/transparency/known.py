"""What fails today, and why: the column `expected_today` of the table in rows.py.

A row of this list that passes fails the suite: remove its line then. The rows in SOMETIMES fail
only sometimes, and both are accepted.
"""

from __future__ import annotations

TABLES = "the reserved address space of the tables uses up the program's budget (RLIMIT_AS)"
TASKS = "each child has an engine of one to three tasks: they take the room of the program's forks"
PROTECTED = "UFFDIO_MOVE refuses ranges that are not readable and writable: the pages stay"
PRELOADED = "the other library reports at exit, and runs in one process more: the output differs"
SHARED = "UFFDIO_MOVE refuses pages that parent and child share"
RAW = "a child without the fork handlers has no userfaultfd: it reads zeroes for swapped-out pages"
REMOTE = "the kernel does not wait for a userfaultfd in access_remote_vm(): EIO (design limit)"

KNOWN = {
    # memory
    "huge-pages": "the kernel fills whole huge pages, faster than they are taken away",
    "rlimit-as-320M": TABLES,
    "rlimit-as-1024M": TABLES,
    "rlimit-as-2048M": TABLES,
    "rlimit-as-4096M": TABLES,
    "rlimit-as-8192M": TABLES,
    "ulimit-as-320M": TABLES,
    "ulimit-as-2048M": TABLES,
    "ulimit-as-8192M": TABLES,
    # identity
    "unshare-pid": "the statistics lack a process in a PID namespace of its own",
    "ulimit-n-4": "the program's RLIMIT_NOFILE: the daemon cannot open /proc/self/smaps_rollup",
    "preload-hostile": PRELOADED,
    # mappings
    "read-only": PROTECTED,
    "inaccessible": PROTECTED,
    "write-barrier": PROTECTED,
    "executable": "mappings that are executable are never registered",
    "remap-grow": "a part is registered, so the kernel has two mappings: mremap fails with EFAULT",
    # processes
    "daemonise": SHARED,
    "threads-3000": "new threads fill their stacks faster than mappings are scanned: a burst",
    "child-clone": RAW,
    "child-clone3": RAW,
    "child-reader": SHARED,
    "pids-small": TASKS,
    "pids": TASKS,
    "nproc-small": TASKS,
    "nproc": TASKS,
    "python-forked": SHARED,
    "python-pool": SHARED,
    # kernel
    "kernel-mem": REMOTE,
    "kernel-peek": REMOTE,
    "gdb": "the debugger reports another process id: the output differs",
}

SOMETIMES = {
    "huge-pages",  # depends on how many huge pages the kernel has
    "threads-3000",  # depends on when the scans come
    "daemonise",  # depends on when the parent ends
    "python-pool",  # depends on how much of the pages the two workers share at a time
}
