# Warnings are always on; only CI turns them into errors, so that a new compiler's warning breaks no user's build.
add_library(fastfisher_warnings INTERFACE)
target_compile_options(fastfisher_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                                     -Wno-sign-conversion)
if(FASTFISHER_WARNINGS_AS_ERRORS)
  target_compile_options(fastfisher_warnings INTERFACE -Werror)
endif()
