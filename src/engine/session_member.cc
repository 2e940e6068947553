#include "engine/session_member.h"

#include <algorithm>
#include <cstring>

#include "os/thread.h"

namespace uzswap {

Result<void> SessionMember::Join(Session session, const char* program_name) {
  session_.emplace(std::move(session));
  strncpy(name_, program_name, sizeof(name_) - 1);
  record_ = session_->Claim(name_);
  if (!record_) return Error{0, "the session's table of processes is full"};
  return {};
}

void SessionMember::AwaitFormerImage(Bytes usage, uint64_t timeout_ns) {
  constexpr uint64_t kFirstPauseNs = 50'000;
  constexpr uint64_t kPauseMaxNs = 1'000'000;
  if (!record_ || session_->TreeUsage() < usage || !session_->HasFormerImage(*record_)) return;
  statistics().former_image_waits.Add();
  const uint64_t until = os::MonotonicNanoseconds() + timeout_ns;
  uint64_t pause_ns = kFirstPauseNs;
  do {
    os::SleepFor(pause_ns);
    pause_ns = std::min(2 * pause_ns, kPauseMaxNs);
    if (!session_->HasFormerImage(*record_)) return;
  } while (os::MonotonicNanoseconds() < until);
  statistics().former_images_left.Add();
}

void SessionMember::JoinAsChild() {
  parent_ = record_;
  record_ = session_->Claim(name_);
}

void SessionMember::NoteLasting() {
  if (parent_ && session_->IsLive(*parent_)) parent_->statistics().lasting_children.Add();
  parent_.reset();
}

void SessionMember::SetEngine(uint32_t pid) {
  if (record_) session_->SetEngine(*record_, os::IdentityOfPid(pid));
}

void SessionMember::NoteWithoutEngine() {
  if (record_) session_->NoteWithoutEngine(*record_);
}

Bytes SessionMember::Publish(Bytes usage, Bytes pool, Bytes kept) {
  return record_ ? record_->Publish(usage, pool, kept) : session_->TreeUsage() + usage;
}

bool SessionMember::Reserve(SharedSpace space, Bytes more, Bytes bound) {
  if (record_) return record_->Reserve(space, more, bound);
  return session_->TreeReserved(space) + more <= bound;
}

void SessionMember::Return(SharedSpace space, Bytes less) {
  if (record_) record_->Return(space, less);
}

std::optional<uint64_t> SessionMember::TreeProcessorNs() {
  return record_ ? session_->TreeProcessorNs(*record_) : std::nullopt;
}

}  // namespace uzswap
