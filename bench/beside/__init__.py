"""The same work in the same memory: without a limit, under uzswap, and under the kernel's swap."""
