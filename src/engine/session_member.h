// SessionMember: this process in the session of its tree.
//
//   Session (shared)     process record (shared, one a process)     SessionMember (private)
//   +-------------+      +------------------------------------+     +---------------------------+
//   | limit       | <--- | usage, pool, name, Statistics      | <-- | record, or nothing if the |
//   | tree totals |      +------------------------------------+     | table was full            |
//   +-------------+                                                 +---------------------------+
//
// A forked child claims a record of its own. When the table is full the child is managed all the
// same: it counts into private statistics that nobody reads, and adds its usage to the tree's
// total for its own decisions only.
//
// Join, AwaitFormerImage, JoinAsChild, SetEngine: the program's thread that starts the engine,
// before the program can exec: an engine process that has outlived its program would mark the
// record of the next one dead. Publish: the reclaim daemon. Everything else: any thread.
#ifndef UZSWAP_ENGINE_SESSION_MEMBER_H_
#define UZSWAP_ENGINE_SESSION_MEMBER_H_

#include <optional>
#include <utility>

#include "base/result.h"
#include "base/statistics.h"
#include "session/session.h"

namespace uzswap {

class SessionMember {
 public:
  static constexpr size_t kNameBytes = 32;
  static constexpr uint64_t kFormerImageNs = 1'000'000'000;

  // Once. Fails if the session's table is full.
  Result<void> Join(Session session, const char* program_name);
  // After Join, before the program runs: if exec has replaced an image whose engine has not ended,
  // and the tree holds `usage` or more, sleeps until it has, for `timeout_ns` at most. The engine
  // keeps the memory of that image until it gets a processor, and the program would grow meanwhile.
  void AwaitFormerImage(Bytes usage, uint64_t timeout_ns = kFormerImageNs);
  // In a forked child: the record that was inherited is the parent's.
  void JoinAsChild();
  // In a forked child that has lived for a while: its parent counts it, if it still lives.
  void NoteLasting();
  // The engine is in the process `pid`. Requires: joined.
  void SetEngine(uint32_t pid);
  // There is none. Requires: joined.
  void NoteWithoutEngine();

  // Requires: joined. The following too.
  Session& session() { return *session_; }
  [[nodiscard]] bool joined() const { return session_.has_value(); }
  [[nodiscard]] const char* name() const { return name_; }
  // What this process counts into.
  Statistics& statistics() { return record_ ? record_->statistics() : uncounted_; }
  // Tells the tree what this process holds; returns what the tree holds.
  Bytes Publish(Bytes usage, Bytes pool, Bytes kept = Bytes(0));
  // See ProcessRecord. Without a record nothing is reserved, and others do not see what it holds.
  bool Reserve(SharedSpace space, Bytes more, Bytes bound);
  void Return(SharedSpace space, Bytes less);
  // See Session. Nothing without a record.
  std::optional<uint64_t> TreeProcessorNs();

 private:
  std::optional<Session> session_;
  std::optional<ProcessRecord> record_;
  std::optional<ProcessRecord> parent_;  // in a forked child
  Statistics uncounted_;
  char name_[kNameBytes] = {};
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_SESSION_MEMBER_H_
