#include "reclaim/reclaimer.h"

namespace uzswap {
namespace {

UffdMover::Parts MoverParts(const Reclaimer::Parts& parts, StagingFrames* frames) {
  return {.port = parts.port,
          .release_port = parts.release_port,
          .address_space = parts.address_space,
          .frames = frames,
          .statistics = parts.statistics};
}

}  // namespace

Result<void> Reclaimer::Init(const Parts& parts, PageCount staging_frames) {
  Result<void> done = frames_.Init(staging_frames);
  if (!done.ok()) return done;
  done = mover_.Init(MoverParts(parts, &frames_));
  if (!done.ok()) return done;
  UseParts(parts);
  return {};
}

void Reclaimer::UseParts(const Parts& parts) {
  mover_.UseParts(MoverParts(parts, &frames_));
  sink_.Attach(parts.store);
  contents_.Init({.table = parts.table,
                  .frames = &frames_,
                  .sink = &sink_,
                  .context = parts.context,
                  .statistics = parts.statistics,
                  .observer = parts.slot_observer});
  evictor_.Init({.table = parts.table,
                 .frames = &frames_,
                 .contents = &contents_,
                 .policy = &policy_,
                 .mover = &mover_,
                 .sink = &sink_,
                 .headroom = parts.headroom,
                 .statistics = parts.statistics});
}

}  // namespace uzswap
