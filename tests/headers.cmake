# Every header compiles alone. A header with a source of its name beside it is included first there
# (tools/check_layers.py checks it). For each other header one source is generated, which includes it
# twice (its guard works) and nothing else. The object library is part of the build, so a breach is a
# build error.
file(GLOB_RECURSE uzswap_headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS
     ${CMAKE_SOURCE_DIR}/src/*.h ${CMAKE_SOURCE_DIR}/include/*.h ${CMAKE_SOURCE_DIR}/apps/*.h)

set(uzswap_header_sources "")
foreach(header ${uzswap_headers})
  string(REGEX REPLACE "\\.h$" ".cc" source ${header})
  if(EXISTS ${CMAKE_SOURCE_DIR}/${source})
    continue()
  endif()
  string(REGEX REPLACE "^(src|include|apps)/" "" include_name ${header})
  string(REGEX REPLACE "[/.]" "_" unit_name ${header})
  set(unit ${CMAKE_CURRENT_BINARY_DIR}/headers/${unit_name}.cc)
  file(CONFIGURE OUTPUT ${unit}
       CONTENT "#include \"${include_name}\"\n#include \"${include_name}\"\n")
  list(APPEND uzswap_header_sources ${unit})
endforeach()

if(uzswap_header_sources)
  add_library(uzswap_headers_alone OBJECT ${uzswap_header_sources})
  target_include_directories(uzswap_headers_alone PRIVATE
      ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/apps)
  # Parsed, not optimised: what is asked is whether the header stands alone.
  target_compile_options(uzswap_headers_alone PRIVATE -O0 -g0 -fno-sanitize=all)
endif()
