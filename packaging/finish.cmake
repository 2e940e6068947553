# Run by CPack for its folder of installed files, before the packages are made. Debian's policy:
# manual pages are compressed, and every package has a copyright file and a changelog.

set(here ${CMAKE_CURRENT_LIST_DIR})
file(GLOB staged LIST_DIRECTORIES TRUE ${CPACK_TEMPORARY_DIRECTORY}/*)

function(compress file)
  execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

foreach(folder ${staged})
  get_filename_component(component ${folder} NAME)
  string(TOUPPER "${component}" upper)
  set(package "${CPACK_DEBIAN_${upper}_PACKAGE_NAME}")
  if(NOT IS_DIRECTORY ${folder} OR package STREQUAL "")
    continue()
  endif()
  set(documents ${folder}/usr/share/doc/${package})
  file(MAKE_DIRECTORY ${documents})
  file(REMOVE ${documents}/LICENSE)
  configure_file(${here}/copyright ${documents}/copyright COPYONLY)
  configure_file(${here}/changelog.in ${documents}/changelog.Debian @ONLY)
  compress(${documents}/changelog.Debian)
  file(GLOB pages ${folder}/usr/share/man/man1/*.1)
  foreach(page ${pages})
    compress(${page})
  endforeach()
  if(EXISTS ${here}/${component}/lintian-overrides)
    file(MAKE_DIRECTORY ${folder}/usr/share/lintian/overrides)
    configure_file(${here}/${component}/lintian-overrides
                   ${folder}/usr/share/lintian/overrides/${package} COPYONLY)
  endif()
endforeach()
