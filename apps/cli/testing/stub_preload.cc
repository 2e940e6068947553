// A preload library for the tests: joins the session and counts known figures, nothing else.
#include <string_view>
#include <utility>

#include "session/session.h"

namespace uzswap {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Never destroyed: the destructor function below uses it at exit.
alignas(Session) unsigned char g_memory[sizeof(Session)];
Session* g_session = nullptr;
const ProcessRecord* g_record = nullptr;
alignas(ProcessRecord) unsigned char g_record_memory[sizeof(ProcessRecord)];

__attribute__((constructor)) void Start(int argc, char** argv, char** environment) {
  Result<Session> session = Session::FromEnvironment(environment);
  if (!session.ok() || argc < 1) return;
  g_session = new (g_memory) Session(std::move(session).value());
  const std::string_view path(argv[0]);
  const auto record = g_session->Claim(path.substr(path.rfind('/') + 1));
  if (!record) return;
  g_record = new (g_record_memory) ProcessRecord(*record);
  Statistics& figures = record->statistics();
  figures.zswpout.Add(10);
  figures.zswpin.Add(4);
  figures.invalidated_pages.Add(1);
  figures.stored_pages.Set(5);
  figures.pool_total_size.Set(5 * 4096 / 2);
  figures.faults.Add(3);
  for (uint64_t i = 1; i <= 3; ++i) figures.fault_ns.Record(i * 1000);
  figures.resident_bytes_peak.RaiseTo(32 * kMiB);
  record->Publish(Bytes(32 * kMiB), Bytes(8 * kMiB));
}

__attribute__((destructor)) void Stop() {
  if (g_record != nullptr) g_session->Retire(*g_record);
}

}  // namespace
}  // namespace uzswap
