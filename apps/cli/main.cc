#include <cstdio>

#include "command_line.h"
#include "os/preload_rules.h"
#include "run_command.h"

namespace uzswap::cli {
namespace {

// GCC and clang make a section with this name a note.
[[gnu::section(".note.uzswap"), gnu::used]] alignas(4) const os::RunnerNote kNote = os::kRunnerNote;

struct Perform {
  int operator()(const RunRequest& request) const { return RunCommand(request); }
  int operator()(const CheckRequest& request) const { return CheckCommand(request); }
  int operator()(const AdviseRequest& request) const { return AdviseCommand(request); }
  int operator()(const TrainRequest& request) const { return TrainCommand(request); }
  int operator()(const PsRequest& request) const { return PsCommand(request); }
  int operator()(const TopRequest& request) const { return TopCommand(request); }
  int operator()(const SetRequest& request) const { return SetCommand(request); }
  int operator()(const ShrinkRequest& request) const { return ShrinkCommand(request); }
  int operator()(const PrintRequest& request) const {
    fputs(request.text.c_str(), stdout);
    return fflush(stdout) == 0 ? 0 : kCannotDo;
  }
  int operator()(const Refusal& refusal) const {
    fputs(Render(refusal).c_str(), stderr);
    return refusal.status;
  }
};

}  // namespace
}  // namespace uzswap::cli

int main(int argc, char** argv) {
  return std::visit(uzswap::cli::Perform{}, uzswap::cli::ParseCommandLine(argc, argv));
}
