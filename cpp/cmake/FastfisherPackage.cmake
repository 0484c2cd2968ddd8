# find_package(fastfisher CONFIG): headers, static library, and the target fastfisher::fastfisher.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/cpp/include/fastfisher DESTINATION ${FASTFISHER_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
install(TARGETS fastfisher EXPORT fastfisherTargets ARCHIVE DESTINATION ${FASTFISHER_INSTALL_LIBDIR})
if(CMAKE_STRIP) # `cmake --install --strip` leaves archives as they are
  install(CODE "if(CMAKE_INSTALL_DO_STRIP)
  execute_process(COMMAND \"${CMAKE_STRIP}\" -S
                          \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${FASTFISHER_INSTALL_LIBDIR}/$<TARGET_FILE_NAME:fastfisher>\"
                  COMMAND_ERROR_IS_FATAL ANY)
endif()")
endif()

install(EXPORT fastfisherTargets NAMESPACE fastfisher:: DESTINATION ${FASTFISHER_INSTALL_CMAKEDIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/fastfisherConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/fastfisherConfig.cmake
                              INSTALL_DESTINATION ${FASTFISHER_INSTALL_CMAKEDIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fastfisherConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/fastfisherConfig.cmake ${PROJECT_BINARY_DIR}/fastfisherConfigVersion.cmake
        DESTINATION ${FASTFISHER_INSTALL_CMAKEDIR})
