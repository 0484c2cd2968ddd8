#include "runtime/control_group.hpp"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

namespace fastfisher::detail {
namespace {

// Returns the positive number that a file begins with; none where it says "max", or -1, or cannot be read.
std::optional<double> number_in(const std::string& path) {
  double value = 0.0;
  if (std::ifstream(path) >> value && value > 0.0) return value;
  return std::nullopt;
}

void lower(double& limit, double value) { limit = std::min(limit, value); }

// Reads the limits of one group; a file that is not there is no limit.
void apply_version2(const std::string& folder, GroupLimits& limits) {
  std::ifstream cpu(folder + "/cpu.max");
  double quota = 0.0, period = 0.0;
  if (cpu >> quota >> period && quota > 0.0 && period > 0.0) lower(limits.processors, quota / period);
  if (const auto bytes = number_in(folder + "/memory.max")) lower(limits.memory, *bytes);
}

void apply_version1(const std::string& folder, GroupLimits& limits) {
  const auto quota = number_in(folder + "/cpu.cfs_quota_us"), period = number_in(folder + "/cpu.cfs_period_us");
  if (quota && period) lower(limits.processors, *quota / *period);
  if (const auto bytes = number_in(folder + "/memory.limit_in_bytes")) lower(limits.memory, *bytes);
}

// Calls apply(folder) for the group and its ancestors up to the mount's own, the root or what a container sees of it.
// Inside a container the path may be the host's, of which nothing is there, or begin with "..".
template <class Apply>
void for_ancestors(const std::string& mount, std::string group, const Apply& apply) {
  if ((group + "/").find("/../") != std::string::npos) group.clear();
  for (;;) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    apply(mount + group);
    if (group.empty()) return;
    group.erase(group.rfind('/'));
  }
}

// Splits "cpu,cpuacct" into "cpu" and "cpuacct".
std::vector<std::string> names_in(const std::string& controllers) {
  std::vector<std::string> names;
  std::istringstream list(controllers);
  for (std::string name; std::getline(list, name, ',');) names.push_back(name);
  return names;
}

}  // namespace

GroupLimits group_limits(const std::string& root) {
  GroupLimits limits;
  const std::string mount = root + "/sys/fs/cgroup";
  const auto version2 = [&](const std::string& folder) { apply_version2(folder, limits); };
  const auto version1 = [&](const std::string& folder) { apply_version1(folder, limits); };
  // What is seen at the mounts holds even where /proc is not there.
  version2(mount);
  for (const char* controller : {"/cpu", "/memory"}) version1(mount + controller);
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:path, controllers empty in version 2
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    if (group.empty() || group.front() != '/') continue;
    if (controllers.empty()) {
      for_ancestors(mount, group, version2);
      continue;
    }
    for (const std::string& name : names_in(controllers)) {
      if (name == "cpu" || name == "memory") for_ancestors(mount + "/" + name, group, version1);
    }
  }
  return limits;
}

}  // namespace fastfisher::detail
