// Rollout workers are processes of their own, and no worker may outlive its trainer.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "register.hpp"

namespace fastfisher::bindings {
namespace {

// The time that passes between two looks at the parent.
constexpr std::chrono::milliseconds interval{200};

// The threads that are started meanwhile leave all signals to the others: Python's handlers run in its main thread,
// whose waiting a signal is to interrupt.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// A parent that is killed tells nobody.  Its death could be a signal (PR_SET_PDEATHSIG), but only on Linux, only if it
// comes after the request, and also where nothing but the thread ends that started this process.  A connection ends
// with the last process that has it, which may be a fork of the parent.  So a thread looks who the parent is.  It holds
// no lock of the interpreter, so it ends a process in the middle of a simulator's step, too.
void end_with_parent(int parent) {
  if (getpgrp() != getpid()) {
    throw std::logic_error("end_with_parent: expected a process that leads its group, which it ends");
  }
  const SignalsBlocked blocked;
  std::thread([parent] {
    while (getppid() == parent) std::this_thread::sleep_for(interval);
    kill(0, SIGKILL);  // the whole group: what the environment started goes, too
  }).detach();
}

}  // namespace

void register_process(pybind11::module_& module) {
  module.def("end_with_parent", &end_with_parent, pybind11::arg("parent"));
}

}  // namespace fastfisher::bindings
