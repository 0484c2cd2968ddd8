# Eigen's headers, version 5 or later: a path given by hand, then a system installation, then the copy inside the
# registry package eigency, which pyproject.toml pins as a build requirement.  Only kernels include them.
set(FASTFISHER_EIGEN_INCLUDE_DIR "" CACHE PATH "Folder that holds Eigen/Core, version 5 or later")

function(fastfisher_eigen_version folder result)
  set(version "")
  if(EXISTS "${folder}/Eigen/Version")
    file(STRINGS "${folder}/Eigen/Version" line REGEX "EIGEN_VERSION_STRING")
    string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" version "${line}")
  endif()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

if(FASTFISHER_EIGEN_INCLUDE_DIR)
  set(candidates "${FASTFISHER_EIGEN_INCLUDE_DIR}")
else()
  find_path(FASTFISHER_EIGEN_SYSTEM NAMES Eigen/Version PATH_SUFFIXES eigen3 include/eigen3)
  # Where the build runs in a Python environment (pip's isolated one, or one's own), eigency lies in site-packages.
  find_package(Python COMPONENTS Interpreter QUIET)
  set(site_packages "")
  if(Python_FOUND)
    execute_process(COMMAND "${Python_EXECUTABLE}" -c "import sysconfig; print(sysconfig.get_path('platlib'))"
                    OUTPUT_VARIABLE site_packages OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  find_path(FASTFISHER_EIGEN_PACKAGE NAMES Eigen/Version PATH_SUFFIXES eigency/eigen
            PATHS ${CMAKE_PREFIX_PATH} ${site_packages} NO_CMAKE_SYSTEM_PATH)
  set(candidates "${FASTFISHER_EIGEN_SYSTEM}" "${FASTFISHER_EIGEN_PACKAGE}")
endif()

set(FASTFISHER_EIGEN "")
foreach(candidate IN LISTS candidates)
  fastfisher_eigen_version("${candidate}" version)
  if(version VERSION_GREATER_EQUAL 5)
    set(FASTFISHER_EIGEN "${candidate}")
    set(FASTFISHER_EIGEN_VERSION "${version}")
    break()
  endif()
endforeach()
if(NOT FASTFISHER_EIGEN)
  message(FATAL_ERROR "fastfisher: no Eigen >= 5 found (looked at: ${candidates}).  Install the Python package "
                      "eigency==5.0.1.1, or set -DFASTFISHER_EIGEN_INCLUDE_DIR=<folder with Eigen/Core>.")
endif()
message(STATUS "fastfisher: Eigen ${FASTFISHER_EIGEN_VERSION} in ${FASTFISHER_EIGEN}")
