"""What fails today, and why: the column `expected_today` of the table in rows.py.

A row of this list that passes fails the suite: remove its line then. The rows in SOMETIMES fail
only sometimes, and both are accepted.
"""

from __future__ import annotations

LOCKED = "MADV_DONTNEED on locked pages fails with EINVAL: our own mappings are locked too (abort)"
CHILD = "the child's reclaim daemon cannot open /proc: every child ends with SIGABRT"
UNWATCHED = "the child's reclaim daemon cannot open /proc: the limit is off for it, with a message"
SYSTEM_CALLS = "the filter applies to the engine's threads too: they live in the program's process"
TABLES = "2 GiB of tables are mapped at once and use up the program's budget"
REFUSED = "the tables do not fit into the limit (ENOMEM): the program runs without uzswap"
ESCAPED = "the preload library is not in that program, and nobody notices"
TASKS = "each child needs three more tasks: they take the room of the program's own forks"
PROTECTED = "UFFDIO_MOVE refuses ranges that are not readable and writable: the pages stay"
PRELOADED = "the engine calls through the PLT: the other library's functions serve it"
SHARED = "UFFDIO_MOVE refuses pages that parent and child share"
TABLE_OF_RESERVATION = "tables follow addresses: up to a page of ours for each touched page"
RAW = "a child without the fork handlers has no userfaultfd: it reads zeroes for swapped-out pages"
LEADER = "/proc/self/statm of a process whose main thread has ended reads 0: the limit is off"
SANITIZER = "the leak checker stops all threads, the pager's too, and then waits for a page"
LINK_ORDER = "the run-time library of ASan has to be the first: the preload library is before it"
REMOTE = "the kernel does not wait for a userfaultfd in access_remote_vm(): EIO (design limit)"

KNOWN = {
    # memory
    "mlockall-current-late": LOCKED,
    "mlockall-future-late": LOCKED,
    "mlockall-onfault-late": LOCKED,
    "mlockall-unlocked": LOCKED,
    "rlimit-as-320M": REFUSED,
    "rlimit-as-1024M": REFUSED,
    "rlimit-as-2048M": REFUSED,
    "rlimit-as-4096M": TABLES,
    "rlimit-as-8192M": TABLES,
    "ulimit-as-320M": REFUSED,
    "ulimit-as-2048M": REFUSED,
    "ulimit-as-8192M": TABLES,
    # identity
    "setpriv": ESCAPED,
    "env-i": ESCAPED,
    "env-preload": ESCAPED,
    "env-no-preload": ESCAPED,
    "static": ESCAPED,
    "setuid": ESCAPED,
    "unshare-pid": "the statistics lack a process in a PID namespace of its own",
    "ulimit-n-4": "the program's RLIMIT_NOFILE: the daemon cannot open /proc/self/smaps_rollup",
    "preload-hostile": PRELOADED,
    # mappings
    "read-only": PROTECTED,
    "inaccessible": PROTECTED,
    "write-barrier": PROTECTED,
    "executable": "mappings that are executable are never registered",
    "fibers-32K": "mappings below 64 KiB are never registered",
    "stride-64": TABLE_OF_RESERVATION,
    "remap-grow": "a part is registered, so the kernel has two mappings: mremap fails with EFAULT",
    # processes
    "robust-mutex": "the kernel does not wait for a userfaultfd while a task exits",
    "leader-exit-late": LEADER,
    "threads-3000": "the stacks of threads are never registered: 3,000 of them hold some 60 MiB",
    "child-clone": RAW,
    "child-clone3": RAW,
    "child-reader": SHARED,
    "pids-small": TASKS,
    "pids": TASKS,
    "nproc-small": UNWATCHED,
    "nproc": CHILD,
    "python-forked": SHARED,
    "python-pool": SHARED,
    # kernel
    "kernel-mem": REMOTE,
    "kernel-peek": REMOTE,
    "gdb": "the debugger sees and reports the engine's threads: the output differs",
    "valgrind": "the engine starts under valgrind, and the program ends with status 1",
    "asan": LINK_ORDER,
    "asan-leaking": LINK_ORDER,
    "asan-static": SANITIZER,
    "asan-static-leaking": SANITIZER,
    "lsan": SANITIZER,
    "lsan-leaking": SANITIZER,
}

SOMETIMES = {
    "robust-mutex",  # the pages of the mutexes may be in memory
    "stride-64",  # close to the limit
    "python-pool",  # depends on how much of the pages the two workers share at a time
}
