// Limits of control groups, from trees of files like those that Linux shows.
#include "runtime/control_group.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace fastfisher::testing {
namespace {

using detail::group_limits;

class ControlGroup : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    root_ = std::filesystem::temp_directory_path() / ("fastfisher-" + std::to_string(getpid()) + name);
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    const auto file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  std::string root() const { return root_.string(); }

 private:
  std::filesystem::path root_;
};

constexpr double none = std::numeric_limits<double>::infinity();

TEST_F(ControlGroup, WithoutFilesThereIsNoLimit) {
  EXPECT_EQ(group_limits(root()).processors, none);
  EXPECT_EQ(group_limits(root()).memory, none);
}

TEST_F(ControlGroup, TheTightestAncestorOfVersion2Counts) {
  write("proc/self/cgroup", "0::/user.slice/run.scope/job");
  write("sys/fs/cgroup/user.slice/cpu.max", "150000 100000");
  write("sys/fs/cgroup/user.slice/memory.max", "4000000000");
  write("sys/fs/cgroup/user.slice/run.scope/cpu.max", "max 100000");
  write("sys/fs/cgroup/user.slice/run.scope/memory.max", "1000000000");
  write("sys/fs/cgroup/user.slice/run.scope/job/cpu.max", "400000 100000");
  write("sys/fs/cgroup/user.slice/run.scope/job/memory.max", "max");
  write("sys/fs/cgroup/other/memory.max", "1");
  EXPECT_EQ(group_limits(root()).processors, 1.5);
  EXPECT_EQ(group_limits(root()).memory, 1e9);
}

TEST_F(ControlGroup, AContainerSeesItsOwnGroupAtTheMount) {
  write("sys/fs/cgroup/cpu.max", "250000 100000");
  write("sys/fs/cgroup/memory.max", "2000000000");
  for (const char* line : {"0::/", "0::/docker/0123456789abcdef", "0::/../../other", ""}) {
    SCOPED_TRACE(line);
    write("proc/self/cgroup", line);
    EXPECT_EQ(group_limits(root()).processors, 2.5);
    EXPECT_EQ(group_limits(root()).memory, 2e9);
  }
}

TEST_F(ControlGroup, Version1HasAHierarchyForEachController) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/batch/job\n4:memory:/batch\n1:name=systemd:/init.scope\n0::/init.scope");
  write("sys/fs/cgroup/cpu/batch/cpu.cfs_quota_us", "50000");
  write("sys/fs/cgroup/cpu/batch/cpu.cfs_period_us", "100000");
  write("sys/fs/cgroup/cpu/batch/job/cpu.cfs_quota_us", "-1");
  write("sys/fs/cgroup/cpu/batch/job/cpu.cfs_period_us", "100000");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  write("sys/fs/cgroup/memory/batch/memory.limit_in_bytes", "3000000000");
  EXPECT_EQ(group_limits(root()).processors, 0.5);
  EXPECT_EQ(group_limits(root()).memory, 3e9);
}

TEST_F(ControlGroup, WhatCannotBeReadIsNoLimit) {
  write("proc/self/cgroup", "nonsense\n0:\n::\n0::relative");
  write("sys/fs/cgroup/cpu.max", "many 100000");
  write("sys/fs/cgroup/memory.max", "");
  EXPECT_EQ(group_limits(root()).processors, none);
  EXPECT_EQ(group_limits(root()).memory, none);
}

}  // namespace
}  // namespace fastfisher::testing
