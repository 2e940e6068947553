# Packages for Debian, by CPack: scripts/package makes them. One for each component of the install
# rules. packaging/finish.cmake adds what Debian's policy requires of every package.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME uzswap)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(UZSWAP_PACKAGE_CONTACT "uzswap maintainers <uzswap@localhost>" CACHE STRING "Maintainer of the packages")
set(CPACK_PACKAGE_CONTACT "${UZSWAP_PACKAGE_CONTACT}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/finish.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL program library development python)
if(TARGET nbdkit-uzswap-plugin)
  list(APPEND CPACK_COMPONENTS_ALL block)
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# dpkg-shlibdeps finds the library that another package of these has.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})

# uz_package(COMPONENT NAME SECTION SUMMARY TEXT [DEPENDS])
macro(uz_package component name section summary text)
  string(TOUPPER ${component} UZ_UPPER)
  set(CPACK_DEBIAN_${UZ_UPPER}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${UZ_UPPER}_PACKAGE_SECTION ${section})
  # The first line of a description is the summary.
  set(CPACK_DEBIAN_${UZ_UPPER}_DESCRIPTION "${summary}\n${text}")
  set(CPACK_COMPONENT_${UZ_UPPER}_DESCRIPTION "${summary}\n${text}")
  if(NOT "${ARGN}" STREQUAL "")
    set(CPACK_DEBIAN_${UZ_UPPER}_PACKAGE_DEPENDS "${ARGN}")
  endif()
endmacro()

uz_package(program uzswap utils "compressed swap for one program, in user space"
  "uzswap runs a program in less memory than it needs. Cold pages are compressed\ninto a bounded pool, the coldest are written, compressed, to a file or device,\nand come back on touch. It needs no kernel module and no swap partition."
  "passwd")
uz_package(library libuzswap0 libs "compressed memory and caches (shared library)"
  "libuzswap offers memory that may be larger than the RAM it takes, and a cache\nwhose units are kept compressed in memory and in a file.")
uz_package(development libuzswap-dev libdevel "compressed memory and caches (development files)"
  "Headers, the static library, and files for CMake and pkg-config. libuzswap\noffers memory that may be larger than the RAM it takes, and a compressed cache."
  "libuzswap0 (= ${PROJECT_VERSION}-1), liblz4-dev, libzstd-dev, libxxhash-dev, libsodium-dev, liburing-dev")
uz_package(python python3-uzswap python "compressed memory and caches (Python)"
  "numpy arrays that may be larger than the RAM they take, on libuzswap."
  "python3, libuzswap0 (= ${PROJECT_VERSION}-1)")
uz_package(block nbdkit-plugin-uzswap admin "compressed disk in memory for nbdkit"
  "A plugin that serves a disk to virtual machines and other clients. Its blocks\nare compressed in memory, and the coldest are written to a file or device."
  "nbdkit")
set(CPACK_DEBIAN_PYTHON_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_PYTHON_PACKAGE_RECOMMENDS python3-numpy)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/program/postinst)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA
    "${CMAKE_CURRENT_LIST_DIR}/library/triggers;${CMAKE_CURRENT_LIST_DIR}/library/shlibs")

# For the packages only: files that belong to the system and not to a prefix.
install(FILES contrib/udev/60-uzswap.rules DESTINATION lib/udev/rules.d COMPONENT program EXCLUDE_FROM_ALL)
install(FILES contrib/systemd/uzswap@.service DESTINATION lib/systemd/system COMPONENT program
        EXCLUDE_FROM_ALL)
install(FILES contrib/systemd/README.md contrib/systemd/redis-server.conf contrib/systemd/example.conf
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/systemd COMPONENT program EXCLUDE_FROM_ALL)
include(CPack)
