# Renders manual pages as plain text, and writes them as a table for a C++ file to include.
#
#   cmake -DGROFF=... -DFOLDER=docs/man -DOUTPUT=manuals.inc -P embed_manuals.cmake NAME...
#
# NAME is "uzswap" or "uzswap-COMMAND"; a row is {"COMMAND", "text"}, and {"", "text"} for uzswap.

set(seen_script FALSE)  # the names come after it
set(table "")
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(at RANGE ${last})
  set(word "${CMAKE_ARGV${at}}")
  if(seen_script)
    # 79 columns, ragged right, no hyphens: commands and options stay whole.
    file(READ ${FOLDER}/${word}.1 page)
    string(REGEX REPLACE "(^|\n)(\\.TH [^\n]*)" "\\1\\2\n.na\n.nh" page "${page}")
    file(WRITE "${OUTPUT}.page" "${page}")
    execute_process(
      COMMAND ${GROFF} -man -Tascii -P-c -P-b -P-o -P-u -rLL=79n ${OUTPUT}.page
      OUTPUT_VARIABLE text ERROR_VARIABLE complaint RESULT_VARIABLE status)
    if(NOT status EQUAL 0 OR NOT complaint STREQUAL "")
      message(FATAL_ERROR "${GROFF} ${word}.1: ${status} ${complaint}")
    endif()
    string(REGEX REPLACE "^uzswap-?" "" topic "${word}")
    string(APPEND table "{\"${topic}\", R\"manual(${text})manual\"},\n")
  elseif(word MATCHES "embed_manuals.cmake$")
    set(seen_script TRUE)
  endif()
endforeach()
file(REMOVE "${OUTPUT}.page")
file(WRITE "${OUTPUT}" "${table}")
