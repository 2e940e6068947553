#include "engine/session_member.h"

#include <cstring>

namespace uzswap {

Result<void> SessionMember::Join(Session session, const char* program_name) {
  session_.emplace(std::move(session));
  strncpy(name_, program_name, sizeof(name_) - 1);
  record_ = session_->Claim(name_);
  if (!record_) return Error{0, "the session's table of processes is full"};
  return {};
}

void SessionMember::JoinAsChild() { record_ = session_->Claim(name_); }

void SessionMember::SetEngine(uint32_t pid) {
  if (record_) session_->SetEngine(*record_, os::IdentityOfPid(pid));
}

void SessionMember::NoteWithoutEngine() {
  if (record_) session_->NoteWithoutEngine(*record_);
}

Bytes SessionMember::Publish(Bytes usage, Bytes pool) {
  return record_ ? record_->Publish(usage, pool) : session_->TreeUsage() + usage;
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
