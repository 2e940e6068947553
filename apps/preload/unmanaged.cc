#include "unmanaged.h"

#include <string_view>

#include "os/program_stderr.h"
#include "os/text_line.h"

namespace uzswap {

void ReportUnmanaged(Session& session, const char* path, const UnmanagedReason& reason) {
  session.CountUnmanaged();
  std::string_view name(path);
  name = name.substr(name.rfind('/') + 1);
  if (!session.TakeUnmanagedName(name)) return;
  os::TextLine<480> line;
  line.Text("uzswap: '").Text(name).Text("' ").Text(reason.cause);
  line.Text(" and runs without uzswap; its memory is not limited\n  fix: ").Text(reason.fix);
  line.Text("\n");
  if (session.Say(line.view()) == SayOutcome::kNoRunner) os::TryWriteToProgramStderr(line.view());
}

}  // namespace uzswap
