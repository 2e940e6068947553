#include "engine/notices.h"

#include <cerrno>

#include "os/text_line.h"

namespace uzswap {
namespace {

using Line = os::TextLine<480>;

void AppendError(Line& line, Error error) {
  if (error.what != nullptr && *error.what != 0) line.Text(": ").Text(error.what);
  if (error.errno_value == 0) return;
  line.Text(" (errno ").Decimal(static_cast<uint64_t>(error.errno_value)).Text(")");
}

struct TroubleText {
  const char* what;
  const char* fix;
};

TroubleText TextOf(BackingTrouble trouble) {
  switch (trouble) {
    case BackingTrouble::kUnusable:
      return {"the backing store cannot be used", "check the path given to --backing"};
    case BackingTrouble::kFailed:
      return {"writing to the backing store failed", "check the device or file system"};
    case BackingTrouble::kFull:
      return {"the backing store is full", "free space on it or raise --backing-size"};
    case BackingTrouble::kWriteLimit:
      return {"the write limit of the backing store is used up",
              "wait for the next period or raise --backing-write-limit"};
  }
  return {"the backing store has an unknown problem", ""};
}

}  // namespace

void Notices::Init(SessionMember& member, Writer write) {
  member_ = &member;
  write_ = write;
}

void Notices::Say(std::string_view line, Importance importance) {
  SayOutcome outcome = SayOutcome::kNoRunner;
  if (member_->joined()) outcome = member_->session().Say(line);
  if (outcome == SayOutcome::kQueued) return;
  if (outcome == SayOutcome::kNoRunner || importance == Importance::kAlways) {
    if (write_(line)) return;
  }
  if (member_->joined()) member_->statistics().dropped_messages.Add();
}

void Notices::OverLimit(const Excess& excess, ResidentCauses* causes) {
  if (!member_->session().TakeWarning(Warning::kOverLimit)) return;
  Line line;
  line.Text("uzswap: memory usage exceeds the limit: the program uses ")
      .Decimal(excess.tree.raw() >> 20)
      .Text(" MiB, the limit is ")
      .Decimal(excess.limit.raw() >> 20);
  if (excess.progress) {
    line.Text(" MiB, and the processes use pages faster than they can be reclaimed");
  } else {
    line.Text(" MiB, and reclaim makes no progress (")
        .Decimal(member_->statistics().reject_compress_poor.Get())
        .Text(" attempts to compress a page saved nothing)");
  }
  line.Text("; the program continues\n");
  const auto append = [&](Bytes bytes, const char* verb, const char* rest) {
    if (bytes < Bytes(1 << 20)) return;
    line.Text("  ").Text(member_->name()).Text(verb).Decimal(bytes.raw() >> 20).Text(rest);
  };
  if (causes != nullptr) {
    append(causes->Locked(), " has locked ",
           " MiB (mlock, mlockall); locked memory stays resident\n");
    append(causes->Protected(), " has ",
           " MiB in mappings that are not writable (mprotect); they stay resident\n");
  }
  line.Text("  fix: raise --limit, or add a backing file with --backing\n");
  Say(line.view(), Importance::kAlways);
}

void Notices::Refused(Error error) {
  Line line;
  line.Text("uzswap: ").Text(member_->name());
  line.Text(" runs without uzswap and its memory is not limited");
  AppendError(line, error);
  line.Text("\n  fix: uzswap check\n");
  Say(line.view(), Importance::kWhileThereIsRoom);
}

void Notices::Unwatched(Error error) {
  if (!member_->session().TakeWarning(Warning::kUnwatched)) return;
  Line line;
  line.Text("uzswap: a process of ").Text(member_->name());
  line.Text(" cannot be watched and its memory is not limited");
  AppendError(line, error);
  if (error.errno_value == EMFILE) {
    line.Text("\n  fix: raise the limit of open descriptors (ulimit -n)\n");
  } else {
    line.Text(
            "\n  fix: it needs /proc in its root directory, room for more tasks, and a place "
            "among ")
        .Decimal(kProcessRecords)
        .Text(" processes\n");
  }
  Say(line.view(), Importance::kAlways);
}

void Notices::Backing(BackingTrouble trouble, Error error) {
  if (!member_->session().TakeWarning(Warning::kBacking)) return;
  const TroubleText text = TextOf(trouble);
  Line line;
  line.Text("uzswap: ").Text(text.what);
  AppendError(line, error);
  line.Text("; cold pages stay compressed in memory\n  fix: ").Text(text.fix).Text("\n");
  Say(line.view(), Importance::kAlways);
}

void Notices::PoisonedPage(uint64_t address, int error) {
  Line line;
  line.Text("uzswap: ").Text(member_->name()).Text(": the page at 0x").Hexadecimal(address);
  if (error != 0) {
    line.Text(" cannot be read from the backing store (errno ")
        .Decimal(static_cast<uint64_t>(error))
        .Text(")");
  } else {
    line.Text(" is damaged on the backing store");
  }
  line.Text("; a thread that touches it receives SIGBUS\n");
  Say(line.view(), Importance::kWhileThereIsRoom);
}

void Notices::LastWords(std::string_view line) {
  if (member_ != nullptr) Say(line, Importance::kAlways);
}

}  // namespace uzswap
