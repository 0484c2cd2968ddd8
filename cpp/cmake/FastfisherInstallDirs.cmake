# Where the C++ library goes: into a prefix as the system has it, and in a wheel into the Python package's own folder,
# where fastfisher.get_cmake_dir() finds it.
if(SKBUILD)
  set(FASTFISHER_INSTALL_INCLUDEDIR fastfisher/include)
  set(FASTFISHER_INSTALL_LIBDIR fastfisher/lib)
else()
  include(GNUInstallDirs)
  set(FASTFISHER_INSTALL_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
  set(FASTFISHER_INSTALL_LIBDIR ${CMAKE_INSTALL_LIBDIR})
endif()
set(FASTFISHER_INSTALL_CMAKEDIR ${FASTFISHER_INSTALL_LIBDIR}/cmake/fastfisher)
