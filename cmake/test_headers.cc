// The precompiled header of all tests is built with this file. See uz_test in uzswap.cmake.
